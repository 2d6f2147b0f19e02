//! Case folding: the form in which texts are compared if case does not matter, in all scripts.
//!
//! It is the full folding of Unicode (`ß` is `ss`; `Σ`, `σ` and `ς` are the same). It goes through
//! the upper case of each character, so that the result does not depend on the neighbours of a
//! character.

/// The folded text.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let plain = rest.bytes().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
        // It is the begin of a character, or the end.
        let (plain, behind) = rest.split_at_checked(plain).unwrap_or((rest, ""));
        folded.push_str(&plain.to_ascii_lowercase());
        let mut chars = behind.chars();
        for char in chars.next().into_iter().flat_map(char::to_uppercase) {
            folded.extend(char.to_lowercase());
        }
        rest = chars.as_str();
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_same_whatever_their_case() {
        #[rustfmt::skip]
        let same = [
            ("Hello", "hELLO"), ("GRÜSSE", "Grüße"), ("ΟΔΟΣ", "οδος"), ("ΟΔΟΣ", "οδοσ"), ("Привет", "ПРИВЕТ"),
            ("ÉCOLE", "école"), ("ŁÓDŹ", "łódź"), ("ﬁle", "FILE"), ("ſ", "S"), ("ǅ", "ǆ"), ("", ""),
            ("日本", "日本"), ("Ａ", "ａ"), ("xÄyÖz", "XäYöZ"), ("ä", "Ä"), ("aé", "AÉ"),
        ];
        for (a, b) in same {
            assert_eq!(fold(a), fold(b), "{a} {b}");
        }
        for (a, b) in [("a", "b"), ("e", "é"), ("日", "本"), ("ss", "s")] {
            assert_ne!(fold(a), fold(b), "{a} {b}");
        }
    }
}
