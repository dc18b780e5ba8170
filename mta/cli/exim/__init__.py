"""The commands that Exim and other mail servers have under the same names: sendmail, mailq, exim and their like."""
