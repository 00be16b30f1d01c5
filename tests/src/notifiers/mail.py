"""A mail server for one test: STARTTLS and a login are required, what comes is kept, a line of JSON for each mail.

Arguments: a folder (`certificate.pem` and `key.pem` stand in it; `port` and `mails` are written there) and the password.
"""

import json
import os
import socket
import ssl
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

folder, password = sys.argv[1], sys.argv[2]


def check(server, session, envelope, mechanism, data):
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"quarterdeck", password.encode())
    return AuthResult(success=right)


class Keep:
    refused = False

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        # The first attempt meets a server that is busy.
        if not self.refused:
            self.refused = True
            return "451 try again later"
        with open(os.path.join(folder, "mails"), "a", encoding="utf-8") as mails:
            mail = envelope.content.decode("utf-8", "replace")
            mails.write(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos, "mail": mail}) + "\n")
        return "250 kept"


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(os.path.join(folder, "certificate.pem"), os.path.join(folder, "key.pem"))
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
Controller(
    Keep(),
    hostname="127.0.0.1",
    port=port,
    tls_context=context,
    require_starttls=True,
    authenticator=check,
    auth_required=True,
).start()
with open(os.path.join(folder, "port.new"), "w", encoding="utf-8") as file:
    file.write(str(port))
os.rename(os.path.join(folder, "port.new"), os.path.join(folder, "port"))
# Until the test is over, and its end of the pipe is closed.
sys.stdin.read()
