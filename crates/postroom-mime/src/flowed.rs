//! Flowed text: paragraphs that were broken into lines are joined again.
//!
//! Quoted lines stay as they are, because many clients break them in violation of the format, and
//! answers refer to the lines of a quote.
//!
//! Standards: RFC 3676.

/// How much of a line is held until its end is there. A longer one is no signature.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Joins flowed lines piece by piece.
#[derive(Debug)]
pub(crate) struct FlowedLines {
    del_sp: bool,
    /// Whether the line before goes on.
    is_open: bool,
    /// The beginning of a line whose end is not there yet.
    held: String,
    /// Whether the front of this line was given already.
    is_begun: bool,
    /// Whether this line is a quoted one.
    is_quoted: bool,
}

impl FlowedLines {
    /// Begins a text.
    pub(crate) fn new(del_sp: bool) -> Self {
        Self { del_sp, is_open: false, held: String::new(), is_begun: false, is_quoted: false }
    }

    /// The next piece, joined as far as it can be told.
    pub(crate) fn push(&mut self, text: &str) -> String {
        let mut joined = String::with_capacity(text.len());
        for piece in text.split_inclusive('\n') {
            if let Some(line) = piece.strip_suffix('\n') {
                let mut held = std::mem::take(&mut self.held);
                if held.is_empty() {
                    self.end(line, "\n", &mut joined);
                } else {
                    held.push_str(line);
                    self.end(&held, "\n", &mut joined);
                }
                continue;
            }
            self.held.push_str(piece);
            if self.held.len() > LINE_BYTES_MAX {
                // The last blank may be left out later.
                let last = self.held.pop();
                let front = std::mem::take(&mut self.held);
                let line = self.begin(&front, false, &mut joined);
                joined.push_str(line);
                self.held.extend(last);
            }
        }
        joined
    }

    /// What was held back.
    pub(crate) fn finish(&mut self) -> String {
        let mut joined = String::new();
        let line = std::mem::take(&mut self.held);
        if !line.is_empty() || self.is_begun {
            self.end(&line, "", &mut joined);
        }
        joined
    }

    /// Begins a line, unless it was begun; gives what of `line` is to be kept.
    fn begin<'a>(&mut self, line: &'a str, is_signature: bool, joined: &mut String) -> &'a str {
        if self.is_begun {
            return line;
        }
        self.is_begun = true;
        self.is_quoted = line.starts_with('>');
        if self.is_open && (self.is_quoted || is_signature) {
            joined.push('\n');
        }
        line.strip_prefix(' ').filter(|_| !self.is_quoted).unwrap_or(line)
    }

    /// Ends a line.
    fn end(&mut self, line: &str, end: &str, joined: &mut String) {
        let is_signature = !self.is_begun && matches!(line, "-- " | "--");
        let line = self.begin(line, is_signature, joined);
        self.is_open = line.ends_with(' ') && !self.is_quoted && !is_signature;
        if self.is_open {
            joined.push_str(line.strip_suffix(' ').filter(|_| self.del_sp).unwrap_or(line));
        } else {
            joined.push_str(line);
            joined.push_str(end);
        }
        self.is_begun = false;
    }
}

/// Joins flowed lines (ended by LF). `del_sp` tells whether the blank at the joint is left out.
#[must_use]
pub fn unflow(text: &str, del_sp: bool) -> String {
    let mut lines = FlowedLines::new(del_sp);
    let mut joined = lines.push(text);
    joined.push_str(&lines.finish());
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_joined() {
        #[rustfmt::skip]
        let table = [
            ("one \ntwo\nthree\n",            false, "one two\nthree\n"),
            ("one \ntwo",                     true,  "onetwo"),
            (" From me\n >not quoted\n",      false, "From me\n>not quoted\n"),
            ("> one \n> two\n",               false, "> one \n> two\n"),
            ("one \n> quoted\n",              false, "one \n> quoted\n"),
            ("one \n-- \nAnna\n",             false, "one \n-- \nAnna\n"),
            ("one\n-- \nAnna \nBee",          false, "one\n-- \nAnna Bee"),
            ("",                              false, ""),
        ];
        for (text, del_sp, want) in table {
            assert_eq!(unflow(text, del_sp), want, "{text:?}");
        }
    }
}
