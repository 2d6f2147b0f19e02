//! The state of one dialogue, and the commands that need nothing else.

use crate::peer::Peer;
use crate::script::SmtpCommand;
use crate::smtp::argument;
use crate::smtp::reply::ServerReply;

/// How many recipients a message may have; RFC 5321 §4.5.3.1.8 wants at least 100.
const RECIPIENTS_MAX: usize = 1000;

/// One dialogue.
pub(crate) struct SmtpDialogue {
    /// The client.
    pub peer: Peer,
    /// Whether EHLO or HELO was said.
    pub greeted: bool,
    /// The current mail: from MAIL until its end or RSET.
    pub transaction: Option<Transaction>,
}

/// The envelope so far.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    /// The address of MAIL.
    pub reverse_path: String,
    /// The accepted addresses of RCPT.
    pub forward_paths: Vec<String>,
    /// The parameters of MAIL.
    pub parameters: Vec<String>,
}

impl SmtpDialogue {
    /// With a client that has just connected.
    pub(crate) fn new(peer: Peer) -> Self {
        Self { peer, greeted: false, transaction: None }
    }

    /// What EHLO says after the first line.
    pub(crate) fn keywords(&self) -> Vec<String> {
        let house = &self.peer.house;
        let plain = !self.peer.wire.is_tls();
        let mut usual: Vec<String> =
            ["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "HELP"]
                .map(str::to_owned)
                .into();
        usual.push(format!("SIZE {}", house.message_bytes_max));
        if plain && house.tls {
            usual.push("STARTTLS".to_owned());
        }
        if !(plain && house.login_needs_tls) {
            usual.push("AUTH PLAIN LOGIN".to_owned());
        }
        house.shared.look(|state| state.smtp_capabilities.applied(usual))
    }

    /// Whether EHLO says the keyword.
    pub(crate) fn offers(&self, keyword: &str) -> bool {
        let is = |line: &String| {
            line.split([' ', '=']).next().is_some_and(|first| first.eq_ignore_ascii_case(keyword))
        };
        self.keywords().iter().any(is)
    }

    /// Carries out a command that is about the dialogue only.
    pub(crate) fn command(&mut self, command: SmtpCommand, argument: &str) -> ServerReply {
        match command {
            SmtpCommand::Ehlo | SmtpCommand::Helo => self.hello(command, argument),
            SmtpCommand::Mail => self.mail(argument),
            SmtpCommand::Rcpt => self.rcpt(argument),
            SmtpCommand::Data => self.may_send(),
            SmtpCommand::StartTls => self.may_start_tls(argument),
            SmtpCommand::Rset => {
                self.transaction = None;
                ServerReply::new(250, "2.0.0", "forgotten")
            }
            SmtpCommand::Noop => ServerReply::new(250, "2.0.0", "here"),
            SmtpCommand::Vrfy => ServerReply::new(252, "2.5.0", "try RCPT and see"),
            SmtpCommand::Help => ServerReply::new(214, "2.0.0", "RFC 5321"),
            SmtpCommand::Quit => ServerReply::new(221, "2.0.0", "goodbye"),
            // AUTH is a dialogue of its own and does not come here.
            SmtpCommand::Auth | SmtpCommand::Unknown => {
                ServerReply::new(500, "5.5.2", "command not known")
            }
        }
    }

    fn hello(&mut self, command: SmtpCommand, argument: &str) -> ServerReply {
        if argument.is_empty() {
            return ServerReply::new(501, "5.5.4", "who are you?");
        }
        self.greeted = true;
        self.transaction = None;
        let mut lines = vec!["sandbox.test greets you".to_owned()];
        if command == SmtpCommand::Ehlo {
            lines.extend(self.keywords());
        }
        ServerReply::of_lines(250, lines)
    }

    fn may_start_tls(&self, argument: &str) -> ServerReply {
        if !self.offers("STARTTLS") || self.peer.wire.is_tls() {
            return ServerReply::new(502, "5.5.1", "STARTTLS is not offered");
        }
        if !argument.is_empty() {
            return ServerReply::new(501, "5.5.4", "STARTTLS takes no argument");
        }
        ServerReply::new(220, "2.0.0", "ready for TLS")
    }

    fn mail(&mut self, argument: &str) -> ServerReply {
        if !self.greeted {
            return ServerReply::new(503, "5.5.1", "EHLO first");
        }
        if self.transaction.is_some() {
            return ServerReply::new(503, "5.5.1", "one message at a time");
        }
        if self.peer.house.mail_needs_login && self.peer.user.is_none() {
            return ServerReply::new(530, "5.7.0", "authentication required");
        }
        let Some(path) = argument::path(argument, "FROM:") else {
            return ServerReply::new(501, "5.5.4", "MAIL FROM:<address>");
        };
        for parameter in &path.parameters {
            if let Some(refusal) = self.refused_parameter(parameter) {
                return refusal;
            }
        }
        let utf8 =
            path.parameters.iter().any(|parameter| parameter.eq_ignore_ascii_case("SMTPUTF8"));
        if !path.address.is_ascii() && !utf8 {
            return ServerReply::new(553, "5.6.7", "the address needs SMTPUTF8");
        }
        self.transaction = Some(Transaction {
            reverse_path: path.address,
            forward_paths: Vec::new(),
            parameters: path.parameters,
        });
        ServerReply::new(250, "2.1.0", "sender ok")
    }

    fn refused_parameter(&self, parameter: &str) -> Option<ServerReply> {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name.to_ascii_uppercase().as_str() {
            "SIZE" if self.offers("SIZE") => match value.parse::<u64>() {
                Ok(bytes) if bytes <= self.peer.house.message_bytes_max => None,
                Ok(_) => Some(ServerReply::new(552, "5.3.4", "message too big")),
                Err(_) => Some(ServerReply::new(501, "5.5.4", "SIZE is a number")),
            },
            "BODY" if self.offers("8BITMIME") => {
                let known =
                    ["7BIT", "8BITMIME"].iter().any(|body| body.eq_ignore_ascii_case(value));
                (!known).then(|| ServerReply::new(501, "5.5.4", "BODY is 7BIT or 8BITMIME"))
            }
            "SMTPUTF8" if self.offers("SMTPUTF8") && value.is_empty() => None,
            "AUTH" if self.offers("AUTH") => None,
            _ => Some(ServerReply::new(555, "5.5.4", "parameter not known")),
        }
    }

    fn rcpt(&mut self, argument: &str) -> ServerReply {
        let Some(transaction) = &mut self.transaction else {
            return ServerReply::new(503, "5.5.1", "MAIL first");
        };
        let Some(path) = argument::path(argument, "TO:") else {
            return ServerReply::new(501, "5.5.4", "RCPT TO:<address>");
        };
        if !path.parameters.is_empty() {
            return ServerReply::new(555, "5.5.4", "parameter not known");
        }
        if path.address.is_empty() {
            return ServerReply::new(501, "5.1.3", "no address");
        }
        let is_utf8 = |parameter: &String| parameter.eq_ignore_ascii_case("SMTPUTF8");
        if !path.address.is_ascii() && !transaction.parameters.iter().any(is_utf8) {
            return ServerReply::new(553, "5.6.7", "the address needs SMTPUTF8");
        }
        if transaction.forward_paths.len() == RECIPIENTS_MAX {
            return ServerReply::new(452, "4.5.3", "too many recipients");
        }
        let unknown = self
            .peer
            .house
            .shared
            .look(|state| state.is_local(&path.address) && !state.has_user(&path.address));
        if unknown {
            return ServerReply::new(550, "5.1.1", "no such user here");
        }
        transaction.forward_paths.push(path.address);
        ServerReply::new(250, "2.1.5", "recipient ok")
    }

    fn may_send(&self) -> ServerReply {
        match &self.transaction {
            None => ServerReply::new(503, "5.5.1", "MAIL first"),
            Some(transaction) if transaction.forward_paths.is_empty() => {
                ServerReply::new(554, "5.5.1", "no valid recipients")
            }
            Some(_) => ServerReply::new(354, "", "go ahead, end with a dot"),
        }
    }
}
