"""The commands that Exim's image and other mail servers have under these names: sendmail, mailq, exim and their like."""
