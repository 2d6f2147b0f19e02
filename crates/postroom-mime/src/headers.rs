//! The header fields of a message as text, in one piece of memory.

/// Header fields in order: names as written, values decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// Names and values one behind the other.
    text: String,
    ends: Vec<FieldEnds>,
}

/// Where a field ends in the text; it begins where the one before it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FieldEnds {
    name: usize,
    value: usize,
}

impl Headers {
    /// Room for `fields` fields of `bytes` bytes.
    pub(crate) fn with_capacity(fields: usize, bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), ends: Vec::with_capacity(fields) }
    }

    /// Adds a field; `append` writes its value.
    pub(crate) fn push<T>(&mut self, name: &str, append: impl FnOnce(&mut String) -> T) -> T {
        self.text.push_str(name);
        let name = self.text.len();
        let appended = append(&mut self.text);
        self.ends.push(FieldEnds { name, value: self.text.len() });
        appended
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The value of the last field.
    pub(crate) fn last(&self) -> &str {
        let value = self.ends.last().and_then(|ends| self.text.get(ends.name..));
        value.unwrap_or_default()
    }

    /// The fields, each its name and its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |ends| {
            let name = self.text.get(start..ends.name).unwrap_or_default();
            start = ends.value;
            (name, self.text.get(ends.name..ends.value).unwrap_or_default())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_again() {
        let mut headers = Headers::default();
        assert_eq!((headers.len(), headers.last()), (0, ""));
        for (name, value) in [("Subject", "grün"), ("X-Empty", ""), ("To", "a@b.example")] {
            headers.push(name, |text| text.push_str(value));
            assert_eq!(headers.last(), value);
        }
        let fields: Vec<_> = headers.iter().collect();
        assert_eq!(fields, [("Subject", "grün"), ("X-Empty", ""), ("To", "a@b.example")]);
    }
}
