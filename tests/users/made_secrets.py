"""Secrets that other programs have made, all of the same password, and the command line that made each."""

PASSWORD = "correct horse"

#: By the command line: the secret, and its scheme.
MADE = {
    "htpasswd -nbB": ("$2y$05$/.1tAO.yv5TyxjhJFiw5EuuUpXnBO0EJGW4K60u0HcNADGNtbkE/O", "bcrypt"),
    "openssl passwd -6": (
        "$6$Tlm3loLJibkuYFLP$v1rip028f6jND4fK3vuAdflyNXoGVjsEteFEr4f5xL9AgZB4P.F/QxGOCwYLjSY7Mo5/A/BX1SpBAjg4JDEcj1",
        "sha512-crypt",
    ),
    "openssl passwd -5": ("$5$UUSMLVu5pTCoGCuq$UtulCBFlSnNKwKPKQ8SoJWLvapZ7xbyeDt7dWunSZ65", "sha256-crypt"),
    "mkpasswd -m yescrypt": (
        "$y$j9T$nVpV2f.n6e8KyUkpCIU/P/$h/E4SGZQiPOj52TgmwgPjmjLeUtVqUQpJzDq.USoR2B",
        "yescrypt",
    ),
    "mkpasswd -m yescrypt -R 1": (
        "$y$j75$hQFlczssalvj/NUfdOIR10$PLOmYJQmbIdVPMQA4ugLJ7HvJxqC1BJ01KyQpsW4VN1",
        "yescrypt",
    ),
    "mkpasswd -m gost-yescrypt": (
        "$gy$j9T$au8vk/GnkbKN5VwpqpyfU0$TRz05ungzEjD2qcYOhfJHylMgkxyNxq6SYPurVM47CA",
        "gost-yescrypt",
    ),
    "mkpasswd -m scrypt": (
        "$7$CU..../....06Wln7rCrdXGvUV6MAeXC/$bOtpSzylwjp6d8IyAFa1nNmqOL4.5SD3QM9jkB6/4Z4",
        "scrypt",
    ),
    "mkpasswd -m bcrypt": ("$2b$05$cixTR66.yr3PYJ9GAdCRN.VI8xl82b3/fAGmqIy.I2RXY4WaSL3ka", "bcrypt"),
    "mkpasswd -m bcrypt-a": ("$2a$05$.J1cFTOqWspHBxkDJetcvu6aHUsmFxGtFSC6b6ntoeaZm/jhT4TPO", "bcrypt"),
    "mkpasswd -m sha512crypt -R 10000": (
        (
            "$6$rounds=10000$sphrD2HFBDp5kxW1$/re85NTQbbQW51f.qgKHqwQF1e/peu14HSRwLHheow3AcG5PAuZdpg/rsesvZCcQg3kXzQ0zmFO2"
            "G9aCs244t1"
        ),
        "sha512-crypt",
    ),
    "mkpasswd -m sha256crypt": ("$5$ClAK6.dwBZVQkBXb$pl.V5A0u9rBBOsSamBFUDVKqW7JDdaKlz2nI20XHAx6", "sha256-crypt"),
    "doveadm pw -s SHA512-CRYPT": (
        (
            "{SHA512-CRYPT}$6$pfeFNV8CKX/8p9q.$TcrhCSq2KrkVjwi4WTkXoi2eMu3gY5BS4NUOu0TgIgwBeI/VEBIf.CtMAz8uqKPGqjK2.gqibCHif"
            "8N4L8kvn/"
        ),
        "sha512-crypt",
    ),
    "doveadm pw -s SHA256-CRYPT": (
        "{SHA256-CRYPT}$5$uP5dMpRDxc./MdCX$F0aNScrUCFC4Ajt.nZ9VgSKRsIFL0UkvffljuM9qoY8",
        "sha256-crypt",
    ),
    "doveadm pw -s BLF-CRYPT": (
        "{BLF-CRYPT}$2y$05$MWfH9ewgsqLXEH/YvcgYGOtIpopXehHWhPB4RiCUtlSMrwYoQ80zK",
        "bcrypt",
    ),
    "doveadm pw -s CRYPT": ("{CRYPT}$2y$05$VO0F9xArlDYSVbEJW7jNf.NeAI7Z8l8F.FF7tp1kq2dSP0HxIkGlK", "bcrypt"),
    "doveadm pw -s ARGON2ID": (
        "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$D77e728j63YbY8kUk6pjNQ$MfN/Jcr2HRMU7Dx1BJWK0xsKWksWHOp/9lq9izCAMS0",
        "argon2id",
    ),
    "doveadm pw -s SCRAM-SHA-256": (
        (
            "{SCRAM-SHA-256}4096,30D4RrK2+iDF8Fj89iYxjw==,laNk81klkaxvUjnRIJzHuzavzk3VeRtyCHqQzPGWAdw=,XkzwMR6VFvfS4Ji39JY8"
            "Ae8e46hp77NUg+SVFrmQi84="
        ),
        "scram-sha-256",
    ),
}

BCRYPT, SCRAM = MADE["htpasswd -nbB"][0], MADE["doveadm pw -s SCRAM-SHA-256"][0]
SHA512 = MADE["openssl passwd -6"][0]
#: Of the least cost, made by `mta.users.argon2`.
ARGON2 = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$u/SsfP5LytnfIgVbxFHe7Q"
#: Made by `htpasswd -nbm` and `openssl passwd -1`.
TOO_WEAK = ("$apr1$pVz9zEdW$WIG4hrsTlVWQpV9hVxNoe0", "$1$683Fse3v$hWpEeFkHt4DLpgZhX6C8t1")
