// Sends messages as Go programs do, each with smtp.SendMail: MAIL has SMTPUTF8 wherever the server offers it.
// With SUBMIT_USER and SUBMIT_PASSWORD in the environment it logs in.
package main

import (
	"fmt"
	"log"
	"net/smtp"
	"os"
	"strconv"
)

func main() {
	server, sender, recipient := os.Args[1], os.Args[2], os.Args[3]
	count, err := strconv.Atoi(os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	var auth smtp.Auth
	if user := os.Getenv("SUBMIT_USER"); user != "" {
		auth = smtp.PlainAuth("", user, os.Getenv("SUBMIT_PASSWORD"), "localhost")
	}
	for number := 0; number < count; number++ {
		message := fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: from Go\r\nMessage-ID: <%d@sender.test>\r\n\r\nHello\r\n",
			sender, recipient, number)
		if err := smtp.SendMail(server, auth, sender, []string{recipient}, []byte(message)); err != nil {
			log.Fatalf("message %d: %v", number, err)
		}
	}
}
