// Submits one message with nodemailer: reads the server, the mail and the folder of modules as JSON from its input.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { server, mail, modules } = JSON.parse(readFileSync(0, 'utf8'));
const nodemailer = createRequire(`${modules}/`)('nodemailer');

try {
    const sent = await nodemailer.createTransport(server).sendMail(mail);
    console.log(sent.response);
} catch (error) {
    console.log(error.response || String(error));
    process.exitCode = 1;
}
