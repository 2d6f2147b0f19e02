//! What the demo writes for a person: titles, steps, commands, results.

use crate::demo::ADDRESS;
use postroom_sandbox::Sandbox;
use std::io::IsTerminal;
use std::io::Write;

/// Standard output, with colours when it is a terminal.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    colours: bool,
}

impl Terminal {
    /// Looks whether standard output is a terminal.
    pub fn new() -> Self {
        Self { colours: std::io::stdout().is_terminal() }
    }

    /// The title of the whole.
    pub fn title(self, text: &str) {
        self.line(&format!("\n{}\n{}", self.paint("1", text), "=".repeat(text.chars().count())));
    }

    /// A step begins.
    pub fn step(self, text: &str) {
        self.line(&format!("\n{} {}", self.paint("1;34", "▸"), self.paint("1", text)));
    }

    /// A fact with its name.
    pub fn fact(self, name: &str, value: &str) {
        self.line(&format!("  {name:<10} {value}"));
    }

    /// A command that does the same.
    pub fn shell(self, command: &str) {
        self.line(&format!("  {}", self.paint("2", &format!("$ {command}"))));
    }

    /// A line of a result.
    pub fn result(self, text: &str) {
        self.line(&format!("    {text}"));
    }

    /// Something went as it should.
    pub fn done(self, text: &str) {
        self.line(&format!("  {} {text}", self.paint("32", "✓")));
    }

    /// Where to go on by hand.
    pub fn closing(self, sandbox: &Sandbox, base: &str) {
        self.step("Everything keeps running: play with it, Ctrl-C ends it");
        self.fact("REST", &format!("{base}/rest/v1/model/email/Messages"));
        self.fact("mail", &format!("anything sent to {ADDRESS} at {} arrives", sandbox.smtp()));
        let list = "curl -s -H \"Authorization: Bearer $TOKEN\" \
                    \"$POSTROOM/rest/v1/model/email/Messages?order=-dateTime&limit=5\"";
        self.shell(list);
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn line(self, text: &str) {
        let mut out = std::io::stdout().lock();
        // A reader that has gone away (`make demo | head`) must not end the demo in a panic.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}
