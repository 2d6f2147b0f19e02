//! What a report says about a message that was sent: a delivery status notification, or a
//! disposition notification of a reader.
//!
//! ```text
//!   fields of the message ── blank line ── fields of a recipient ── blank line ── of the next
//! ```
//! A disposition notification has one group of fields, which is about one recipient. Whatever
//! stands there, the result is bounded.
//!
//! Standards: RFC 3464 §2.1, RFC 6533, RFC 8098 §3.1.

/// More recipients are left out.
const RECIPIENTS_MAX: usize = 1_000;
/// Longer values are cut off.
const VALUE_BYTES_MAX: usize = 2_000;
/// A longer Message-ID is none.
const ID_BYTES_MAX: usize = 998;

/// What kind of report it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportKind {
    /// What became of the message on its way (RFC 3464).
    DeliveryStatus,
    /// What a reader did with it (RFC 8098).
    DispositionNotification,
}

impl ReportKind {
    /// The word of the parameter `report-type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeliveryStatus => "delivery-status",
            Self::DispositionNotification => "disposition-notification",
        }
    }
}

/// What a report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What kind of report it is.
    pub kind: ReportKind,
    /// The server or the program that wrote it.
    pub reporter: Option<String>,
    /// The identifier that the sender gave the envelope (RFC 3461 §4.4).
    pub envelope_id: Option<String>,
    /// The Message-ID of the message that it is about, without angle brackets. `None`: it names
    /// none, or several.
    pub message_id: Option<String>,
    /// What became of each recipient.
    pub recipients: Vec<ReportedRecipient>,
}

/// What became of one recipient. A text is `None` if the report does not say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportedRecipient {
    /// The address to which the message went in the end.
    pub address: Option<String>,
    /// The address that the sender wrote.
    pub original_address: Option<String>,
    /// What was done, in lower case: `failed`, `delayed`, `delivered`, `relayed`, `expanded`; of a
    /// disposition notification `displayed`, `deleted`, `dispatched`, `processed`.
    pub action: Option<String>,
    /// The status code (RFC 3463), such as `5.1.1`.
    pub status: Option<String>,
    /// What the server said.
    pub diagnostic: Option<String>,
    /// The server that said it.
    pub remote: Option<String>,
}

impl Report {
    /// Reads the fields of a report.
    #[must_use]
    pub fn read(kind: ReportKind, text: &str) -> Self {
        let mut report =
            Self { kind, reporter: None, envelope_id: None, message_id: None, recipients: vec![] };
        let mut open = ReportedRecipient::default();
        let mut ids = MessageIds::default();
        let mut is_first = true;
        for field in fields(text) {
            match field {
                ReportField::End => {
                    is_first = false;
                    report.close(std::mem::take(&mut open));
                }
                ReportField::Named { name, value } => {
                    // Some servers write no blank line behind the fields of the message.
                    if !is_first || !report.of_message(&name, &value, &mut ids) {
                        open.take(kind, &name, &value);
                    }
                }
            }
        }
        report.close(open);
        report.message_id = ids.one();
        report
    }

    /// Whether it says of a recipient what became of it.
    pub(crate) fn tells(&self) -> bool {
        self.recipients.iter().any(|one| {
            let is_named = one.address.is_some() || one.original_address.is_some();
            is_named && (one.action.is_some() || one.status.is_some())
        })
    }

    /// Takes a field of the whole message. `false`: it is none.
    fn of_message(&mut self, name: &str, value: &str, ids: &mut MessageIds) -> bool {
        match name {
            "reporting-mta" => set(&mut self.reporter, behind_type(value)),
            "reporting-ua" => set(&mut self.reporter, value),
            "original-envelope-id" => set(&mut self.envelope_id, value),
            "original-message-id" => ids.add(value),
            _ => return false,
        }
        true
    }

    fn close(&mut self, recipient: ReportedRecipient) {
        let is_empty = recipient == ReportedRecipient::default();
        if !is_empty && self.recipients.len() < RECIPIENTS_MAX {
            self.recipients.push(recipient);
        }
    }
}

impl ReportedRecipient {
    fn take(&mut self, kind: ReportKind, name: &str, value: &str) {
        match (name, kind) {
            ("final-recipient", _) => set(&mut self.address, address(behind_type(value))),
            ("original-recipient", _) => {
                set(&mut self.original_address, address(behind_type(value)));
            }
            ("action", ReportKind::DeliveryStatus) => set(&mut self.action, &word(value)),
            ("disposition", ReportKind::DispositionNotification) => {
                set(&mut self.action, &word(behind_type(value)));
            }
            ("status", ReportKind::DeliveryStatus) => {
                if let Some(status) = status(value) {
                    set(&mut self.status, status);
                }
            }
            ("diagnostic-code", _) | ("failure" | "error", ReportKind::DispositionNotification) => {
                set(&mut self.diagnostic, behind_type(value));
            }
            ("remote-mta", ReportKind::DeliveryStatus) => {
                set(&mut self.remote, behind_type(value));
            }
            _ => {}
        }
    }
}

/// The Message-IDs that were found. Several different ones are none.
#[derive(Debug, Default)]
pub(crate) struct MessageIds {
    id: Option<String>,
    is_ambiguous: bool,
}

impl MessageIds {
    /// Adds that of a field `Message-ID` or `Original-Message-ID`.
    pub(crate) fn add(&mut self, value: &str) {
        let value = value.trim();
        let inner = match (value.find('<'), value.find('>')) {
            (Some(open), Some(close)) => value.get(open + 1..close).unwrap_or_default(),
            (None, None) => value,
            (Some(_), None) | (None, Some(_)) => "",
        };
        let is_id = !inner.is_empty()
            && inner.len() <= ID_BYTES_MAX
            && !inner.contains(|c: char| c.is_whitespace() || c.is_control() || c == '<');
        let is_other = self.id.as_deref().is_some_and(|known| known != inner);
        self.is_ambiguous |= !is_id || is_other;
        self.id = Some(inner.to_owned());
    }

    /// The one that was found.
    pub(crate) fn one(self) -> Option<String> {
        self.id.filter(|_| !self.is_ambiguous)
    }
}

/// A field of a report, or the end of a group of fields.
enum ReportField {
    Named { name: String, value: String },
    End,
}

/// The fields of a text, unfolded, with names in lower case. Lines that are no fields are left out.
fn fields(text: &str) -> impl Iterator<Item = ReportField> {
    let mut lines = text.split('\n').map(|line| line.trim_end_matches('\r')).peekable();
    std::iter::from_fn(move || {
        loop {
            let line = lines.next()?;
            if line.trim().is_empty() {
                return Some(ReportField::End);
            }
            let mut value = String::new();
            let named = line.split_once(':').filter(|(name, _)| !name.starts_with([' ', '\t']));
            append(&mut value, named.map_or("", |(_, value)| value));
            while let Some(more) = lines.next_if(|line| is_continuation(line)) {
                append(&mut value, more);
            }
            let Some((name, _)) = named else {
                continue;
            };
            let name = name.trim_end().to_ascii_lowercase();
            return Some(ReportField::Named { name, value });
        }
    })
}

/// Whether a line continues the field before it. A line of blanks ends a group.
fn is_continuation(line: &str) -> bool {
    line.starts_with([' ', '\t']) && !line.trim().is_empty()
}

/// Adds a line to a value, as far as it is kept.
fn append(value: &mut String, line: &str) {
    let line = line.trim();
    if value.len() >= VALUE_BYTES_MAX || line.is_empty() {
        return;
    }
    if !value.is_empty() {
        value.push(' ');
    }
    let kept = line.get(..line.floor_char_boundary(VALUE_BYTES_MAX - value.len()));
    value.extend(kept.unwrap_or_default().chars().filter(|c| !c.is_control()));
}

/// Sets a value that is not set yet.
fn set(place: &mut Option<String>, value: &str) {
    let value = value.trim();
    if place.is_none() && !value.is_empty() {
        *place = Some(value.to_owned());
    }
}

/// What follows the type, as in `rfc822; anna@b.example`.
fn behind_type(value: &str) -> &str {
    value.split_once(';').map_or(value, |(_, behind)| behind).trim()
}

/// An address without angle brackets.
fn address(value: &str) -> &str {
    let inner = value.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    inner.unwrap_or(value)
}

/// The first word, in lower case.
fn word(value: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let word = value.trim_start().split(|c: char| !is_part(c)).next().unwrap_or_default();
    word.to_ascii_lowercase()
}

/// The status code at the beginning of a value (RFC 3463 §2).
fn status(value: &str) -> Option<&str> {
    let code = value.trim_start().split(|c: char| c != '.' && !c.is_ascii_digit()).next()?;
    let mut parts = code.split('.');
    let [class, subject, detail] = [parts.next()?, parts.next()?, parts.next()?];
    let is_number = |part: &str| (1..=3).contains(&part.len());
    let is_code = matches!(class, "2" | "4" | "5")
        && is_number(subject)
        && is_number(detail)
        && parts.next().is_none();
    is_code.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipient(values: [&str; 6]) -> ReportedRecipient {
        let [address, original_address, action, status, diagnostic, remote] =
            values.map(|value| (!value.is_empty()).then(|| value.to_owned()));
        ReportedRecipient { address, original_address, action, status, diagnostic, remote }
    }

    #[test]
    fn the_fields_of_a_delivery_status_are_read() {
        let text = "Reporting-MTA: dns; mx.example\r\nX-Postfix-Queue-ID: 12\r\n\
            Original-Envelope-Id: env-7\r\nArrival-Date: Mon, 30 Nov 2026 01:00:00 +0000\r\n\r\n\
            Original-Recipient: rfc822;Berta@Other.example\r\nFinal-Recipient: rfc822; b@x.example\r\n\
            Action: Failed (no such user)\r\nStatus: 5.1.1 (bad address)\r\n\
            Remote-MTA: dns; mx.x.example\r\nDiagnostic-Code: smtp; 550 5.1.1 <b@x.example>:\r\n \
            no such user;\r\n\tsee https://x.example\r\n\r\n\r\n\
            Final-Recipient: utf-8; <ü@x.example>\r\nAction: delayed\r\nStatus: 4.4.1\r\n";
        let report = Report::read(ReportKind::DeliveryStatus, text);
        assert_eq!(report.reporter.as_deref(), Some("mx.example"));
        assert_eq!(report.envelope_id.as_deref(), Some("env-7"));
        assert_eq!(report.message_id, None);
        let said = "550 5.1.1 <b@x.example>: no such user; see https://x.example";
        let first = ["b@x.example", "Berta@Other.example", "failed", "5.1.1", said, "mx.x.example"];
        let second = ["ü@x.example", "", "delayed", "4.4.1", "", ""];
        assert_eq!(report.recipients, [recipient(first), recipient(second)]);
    }

    #[test]
    fn the_fields_of_a_disposition_notification_are_read() {
        let text = "Reporting-UA: mua.example; Reader 1.0\nOriginal-Recipient: rfc822;b@x.example\n\
            Final-Recipient: rfc822;b@x.example\nOriginal-Message-ID: <one@y.example>\n\
            Disposition: manual-action/MDN-sent-manually; displayed/error\nError: too late\n";
        let report = Report::read(ReportKind::DispositionNotification, text);
        assert_eq!(report.reporter.as_deref(), Some("mua.example; Reader 1.0"));
        assert_eq!(report.message_id.as_deref(), Some("one@y.example"));
        let it = ["b@x.example", "b@x.example", "displayed", "", "too late", ""];
        assert_eq!(report.recipients, [recipient(it)]);
    }

    #[test]
    fn a_report_without_blank_lines_and_one_of_nonsense_are_read_as_far_as_they_go() {
        let text = "Reporting-MTA: dns; mx\nFinal-Recipient: rfc822; b@x.example\nAction: failed";
        let report = Report::read(ReportKind::DeliveryStatus, text);
        assert_eq!(report.recipients, [recipient(["b@x.example", "", "failed", "", "", ""])]);
        for text in ["", "\n\n\n", ":\n:x\n x: y", "no field\n more\n\nx", "Status: 5..1\n"] {
            let report = Report::read(ReportKind::DeliveryStatus, text);
            assert_eq!(report.recipients, [], "{text:?}");
        }
    }

    #[test]
    fn a_status_is_a_code_or_nothing() {
        let table = [
            ("5.1.1", Some("5.1.1")),
            (" 4.7.650 x", Some("4.7.650")),
            ("5.0.0 (unknown)", Some("5.0.0")),
            ("3.1.1", None),
            ("5.1", None),
            ("5.1.1.1", None),
            ("5.1.1111", None),
            ("550 5.1.1", None),
            ("", None),
        ];
        for (value, want) in table {
            assert_eq!(status(value), want, "{value:?}");
        }
    }

    #[test]
    fn several_message_ids_are_none() {
        let table: [(&[&str], Option<&str>); 8] = [
            (&["<a@b>"], Some("a@b")),
            (&[" a@b "], Some("a@b")),
            (&["<a@b>", "<a@b>"], Some("a@b")),
            (&["<a@b>", "<c@d>"], None),
            (&["<a@b>", ""], None),
            (&["<a b>"], None),
            (&[">a<"], None),
            (&[], None),
        ];
        for (values, want) in table {
            let mut ids = MessageIds::default();
            values.iter().for_each(|value| ids.add(value));
            assert_eq!(ids.one().as_deref(), want, "{values:?}");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = format!("Diagnostic-Code: smtp; {}\n", "x".repeat(9_000));
        let many = "Final-Recipient: rfc822; b@x.example\n\n".repeat(5_000);
        let report = Report::read(ReportKind::DeliveryStatus, &format!("\n{long}\n{many}"));
        assert_eq!(report.recipients.len(), RECIPIENTS_MAX);
        let said = report.recipients[0].diagnostic.as_ref().unwrap();
        assert!(said.len() <= VALUE_BYTES_MAX);
    }
}
