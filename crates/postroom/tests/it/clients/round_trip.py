"""A message goes out and comes back, through the client that openapi-python-client made."""

import os
import time

from postroom_client import AuthenticatedClient
from postroom_client.api.email_accounts import email_accounts_create
from postroom_client.api.email_folders import email_folders_change, email_folders_list
from postroom_client.api.email_messages import (
    email_messages_create,
    email_messages_get,
    email_messages_list,
    email_messages_raw_message_get,
)
from postroom_client.api.email_profiles import email_profiles_create
from postroom_client.models import (
    EmailAccountsNew,
    EmailFoldersChange,
    EmailMessagesNew,
    EmailProfilesNew,
    Problem,
)

client = AuthenticatedClient(base_url=os.environ["POSTROOM"], token=os.environ["POSTROOM_ADMIN_TOKEN"])


def done(answer):
    """The answer, if it is no problem."""
    assert answer is not None and not isinstance(answer, Problem), answer
    return answer


def wait_for(ask, wanted):
    """Asks until the answer is what is wanted."""
    while not wanted(answer := done(ask())):
        time.sleep(0.1)
    return answer


refused = email_profiles_create.sync(client=client, body=EmailProfilesNew(name=""))
assert isinstance(refused, Problem) and refused.error_code == 1422, refused
assert refused.errors[0].property_ == "name", refused

profile = done(email_profiles_create.sync(client=client, body=EmailProfilesNew(
    name="Sandbox",
    imap_host="localhost", imap_port=int(os.environ["IMAPS"]),
    smtp_host="localhost", smtp_port=int(os.environ["SMTPS"]),
)))
account = done(email_accounts_create.sync(client=client, body=EmailAccountsNew(
    profile_id=profile.id, address="anna@demo.test", password="secret",
    options={"after_read_timeout": 1},
)))
inbox = wait_for(
    lambda: email_folders_list.sync(client=client, account_id=str(account.id), name="INBOX"),
    lambda found: found,
)[0]
done(email_folders_change.sync(inbox.id, client=client, body=EmailFoldersChange(enabled=True)))
message = done(email_messages_create.sync(client=client, idempotency_key="round-trip", body=EmailMessagesNew.from_dict({
    "account_id": str(account.id), "messageDirection": "out", "messageState": "sending",
    "to": ["anna@demo.test"], "subject": "There and back", "text": "Hello\n",
})))
sent = wait_for(
    lambda: email_messages_get.sync(message.id, client=client),
    lambda found: found.message_state != "sending",
)
assert sent.message_state == "sent", sent
received = wait_for(
    lambda: email_messages_list.sync(client=client, message_state="received", subject="There and back"),
    lambda found: found,
)[0]
assert received.text == "Hello\n", received
original = done(email_messages_raw_message_get.sync(received.id, client=client))
assert b"Subject: There and back" in original.payload.read()
