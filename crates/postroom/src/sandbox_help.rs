//! The end of the help of `postroom sandbox`.

/// What can be made to fail, and examples.
pub(crate) const SANDBOX_HELP: &str = "\
What can be made to fail (ADDRESS may be `*`, which means all):
  refuse=ADDRESS           the recipient is refused for good (550)
  defer=ADDRESS[:TIMES]    the recipient is deferred (450), so many times or always
  reply=ADDRESS:REPLY      the recipient is answered with these words, such as
                           'full@shop.example:452 4.2.2 the mailbox is full'
  slow=ADDRESS:SECONDS     the recipient is answered that late
  refuse-data=ADDRESS      a message from or to it is refused after its last byte (554)
  cut=ADDRESS[:TIMES]      a message from or to it is accepted, but the connection ends before
                           the answer
  login=ADDRESS[:TIMES]    the login is refused, by IMAP and by SMTP
  smtp-down=SECONDS        nothing listens for SMTP for so long
  imap-down=SECONDS        IMAP connections are closed at once for so long
  renumber=ADDRESS:SECONDS after so long INBOX gets a new UIDVALIDITY and new UIDs

With --oauth, a provider of OAuth 2.0 listens too. Its page of consent asks who you are and has one
button. An app may also have the grant client_credentials or external.

Examples:
  postroom sandbox --ca-file sandbox-ca.pem
  postroom sandbox --oauth --oauth-rotate
  postroom sandbox --fail refuse=gone@shop.example --fail defer=busy@shop.example:2
  postroom sandbox --user me@demo.test:secret --fail renumber=me@demo.test:30";
