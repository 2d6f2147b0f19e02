//! The words between two separators of a list of addresses, and the addresses among them.

use crate::encoded_word;

/// One word of what was read since the last separator.
pub(crate) struct AddressWord<'a> {
    /// The word; of a quoted one, what stands between the quotes.
    pub text: &'a str,
    /// Whether it was quoted.
    pub is_quoted: bool,
    /// Whether no blank stands before it.
    pub is_glued: bool,
}

/// Words that are an address, or are none.
pub(crate) enum Bare<'w, 'a> {
    /// An address.
    Address(&'w [AddressWord<'a>]),
    /// A name and its address without brackets.
    Named(&'w [AddressWord<'a>], &'w [AddressWord<'a>]),
    /// None.
    Name(&'w [AddressWord<'a>]),
}

impl AddressWord<'_> {
    /// The word as it is written.
    pub(crate) fn source(&self) -> String {
        if self.is_quoted { format!("\"{}\"", self.text) } else { self.text.to_owned() }
    }

    /// Whether it may be a user of this very server.
    fn is_local(&self) -> bool {
        let is_named = self.text.contains(char::is_alphanumeric);
        is_named && !self.is_quoted && encoded_word::begins(self.text).is_none()
    }

    /// Whether it is the colon behind the name of a group.
    pub(crate) fn is_colon(&self) -> bool {
        !self.is_quoted && self.text == ":"
    }

    /// Whether an address may be in it.
    pub(crate) fn has_at(&self) -> bool {
        !self.is_quoted && self.text.contains('@')
    }
}

/// Finds the addresses among words without angle brackets.
pub(crate) fn bare_addresses<'w, 'a>(words: &'w [AddressWord<'a>]) -> Vec<Bare<'w, 'a>> {
    let at_signs = words.iter().filter(|word| word.has_at()).count();
    match (at_signs, words) {
        // A local user, or nothing that is an address.
        (0, [word]) if word.is_local() => vec![Bare::Address(words)],
        (0, _) => vec![Bare::Name(words)],
        // Blanks around the signs of one address.
        (1, _) if is_one_address(words) => vec![Bare::Address(words)],
        _ => {
            let pieces = words.chunk_by(|_, next| next.is_glued);
            let addresses: Vec<_> =
                pieces.filter(|piece| piece.iter().any(AddressWord::has_at)).collect();
            // The only one, at the end: what stands before it is its name.
            if let [address] = addresses.as_slice()
                && let Some(name) = words.get(..words.len() - address.len())
                && !name.is_empty()
                && !name.iter().any(AddressWord::has_at)
            {
                return vec![Bare::Named(name, address)];
            }
            addresses.into_iter().map(Bare::Address).collect()
        }
    }
}

/// Whether words with blanks between them are one address: each blank is beside `@` or a dot.
fn is_one_address(words: &[AddressWord<'_>]) -> bool {
    words.windows(2).all(|pair| match pair {
        [a, b] => b.is_glued || a.text.ends_with(['@', '.']) || b.text.starts_with(['@', '.']),
        _ => true,
    })
}
