//! What the demo writes for a person.

use crate::demo::client::MODEL;
use crate::demo::login::ADDRESS;
use crate::demo::story::Told;
use postroom_sandbox::Sandbox;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::io::IsTerminal;
use std::io::Write;

/// Standard output, with colours when it is a terminal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terminal {
    colours: bool,
}

impl Terminal {
    /// Checks whether standard output is a terminal.
    pub(super) fn new() -> Self {
        Self { colours: std::io::stdout().is_terminal() }
    }

    /// The servers and their addresses.
    pub(super) fn title(self, url: &str, sandbox: &Sandbox) {
        let (imap, smtp) = (sandbox.imaps(), sandbox.smtps());
        let title = self.paint("1", "Postroom keeps mail when things go wrong");
        self.line(&format!("\n{title}\n"));
        self.line(&format!(
            "  Postroom at {url}, a mail server at {imap} (IMAP) and {smtp} (SMTP)"
        ));
    }

    /// A line for something that happened.
    pub(super) fn step(self, text: &str) {
        self.line(&format!("  {} {text}", self.paint("34", "▸")));
    }

    /// A line for something that went right.
    pub(super) fn done(self, text: &str) {
        self.line(&format!("  {} {}", self.paint("32", "✓"), self.paint("1", text)));
    }

    /// A quotation.
    pub(super) fn quote(self, text: &str) {
        self.line(&format!("      {}", self.paint("3", text)));
    }

    /// The commands to go on with.
    pub(super) fn closing(self, url: &str, sandbox: &Sandbox, told: &Told, token: &SecretString) {
        let (account, refused) = (&told.account, &told.refused);
        self.line("\nGo on while it runs (Ctrl-C ends it):\n");
        let token = token.expose_secret();
        self.line(&format!("  export TOKEN={token} M={url}{}", MODEL.trim_end_matches('/')));
        self.line("  api()  { curl -sS -w '\\n' -H \"Authorization: Bearer $TOKEN\" \"$@\"; }");
        self.line("  json() { api -H 'Content-Type: application/json' \"$@\"; }");
        self.line(
            "  api \"$M/email/Messages?order=-dateTime&limit=3&mask=subject,from,messageState\"",
        );
        self.line("  api \"$M/email/Messages?subject=Sunrise%20at%20the%20coast%20%E2%98%80\"");
        self.line(&format!("  api $M/{refused}"));
        self.line(&format!(
            "  json $M/email/Messages -d '{{\"account_id\": \"{account}\", \
             \"messageDirection\": \"out\", \"messageState\": \"sending\", \
             \"to\": [\"{ADDRESS}\"], \"subject\": \"Hello\", \"text\": \"Hello!\"}}'"
        ));
        let smtp = sandbox.smtp();
        self.line(&format!("\nMail that is sent to {ADDRESS} at smtp://{smtp} arrives too.\n"));
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn line(self, text: &str) {
        let mut out = std::io::stdout().lock();
        // A closed pipe (`make demo | head`) must not end the demo in a panic.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}
