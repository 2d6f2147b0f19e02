//! Content lines: unfolded, with name, parameters and value (RFC 5545 §3.1).

/// One content line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContentLine {
    /// The name in capitals, without a group before it.
    pub name: String,
    /// Parameters: name in capitals, and value without quotes.
    pub parameters: Vec<(String, String)>,
    /// The value as it is written.
    pub value: String,
}

/// More parameters of one line are left out.
const PARAMETERS_MAX: usize = 50;

/// Splits a text into lines and unfolds them: a line that begins with a space or a tab continues
/// the one before it.
pub(crate) fn content_lines(text: &str) -> impl Iterator<Item = String> {
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).peekable();
    std::iter::from_fn(move || {
        let mut whole = lines.next()?.to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with([' ', '\t'])) {
            whole.push_str(more.get(1..).unwrap_or_default());
        }
        Some(whole)
    })
}

impl ContentLine {
    /// Reads an unfolded line. `None` if it has no value.
    pub fn read(line: &str) -> Option<Self> {
        let end = line.find([';', ':'])?;
        let (name, mut rest) = line.split_at_checked(end)?;
        let name = name.rsplit('.').next().unwrap_or(name).trim().to_ascii_uppercase();
        let mut parameters = vec![];
        while let Some(parameter) = rest.strip_prefix(';') {
            let end = unquoted(parameter)?;
            let (parameter, tail) = parameter.split_at_checked(end)?;
            if let Some((name, value)) = parameter.split_once('=')
                && parameters.len() < PARAMETERS_MAX
            {
                parameters.push((name.trim().to_ascii_uppercase(), value.replace('"', "")));
            }
            rest = tail;
        }
        let value = rest.strip_prefix(':')?.to_owned();
        Some(Self { name, parameters, value })
    }

    /// Returns the value of a parameter. `name` is in capitals.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let mut parameters = self.parameters.iter();
        parameters.find(|parameter| parameter.0 == name).map(|parameter| parameter.1.as_str())
    }

    /// Returns the value with its escapes resolved (RFC 5545 §3.3.11).
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.value.len());
        let mut chars = self.value.chars();
        while let Some(char) = chars.next() {
            match char {
                '\\' => match chars.next() {
                    Some('n' | 'N') => text.push('\n'),
                    Some(other) => text.push(other),
                    None => {}
                },
                other => text.push(other),
            }
        }
        text
    }
}

/// Returns where the first `;` or `:` outside quotes is.
fn unquoted(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.find(|char| {
        quoted ^= char == '"';
        !quoted && matches!(char, ';' | ':')
    })
}
