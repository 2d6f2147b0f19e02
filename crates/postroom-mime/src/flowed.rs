//! Flowed text: paragraphs that were broken into lines are joined again.
//!
//! Quoted lines stay as they are, because many clients break them in violation of the format, and
//! answers refer to the lines of a quote.
//!
//! Standards: RFC 3676.

/// Joins flowed lines (ended by LF). `del_sp` tells whether the blank at the joint is left out.
#[must_use]
pub fn unflow(text: &str, del_sp: bool) -> String {
    let mut joined = String::with_capacity(text.len());
    let mut is_open = false;
    for line in text.split_inclusive('\n') {
        let (line, end) = match line.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (line, ""),
        };
        let is_quoted = line.starts_with('>');
        let is_signature = matches!(line, "-- " | "--");
        if is_open && (is_quoted || is_signature) {
            joined.push('\n');
        }
        let line = line.strip_prefix(' ').filter(|_| !is_quoted).unwrap_or(line);
        if line.ends_with(' ') && !is_quoted && !is_signature {
            joined.push_str(line.strip_suffix(' ').filter(|_| del_sp).unwrap_or(line));
            is_open = true;
        } else {
            joined.push_str(line);
            joined.push_str(end);
            is_open = false;
        }
    }
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
