//! MAPI properties as they lie in TNEF (MS-OXTNEF §2.1.3.3).

use crate::tnef::cursor::Cursor;

/// One property with its first value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MapiProperty<'a> {
    /// The identifier, such as `0x3707`. Named properties have one from `0x8000` on, which means
    /// nothing outside the message.
    pub id: u16,
    /// The type, without the bit for many values.
    pub kind: u16,
    /// The first value. Empty if there is none.
    pub value: &'a [u8],
}

/// Type of a property: an object, behind the 16 octets that name its interface.
pub(crate) const OBJECT: u16 = 0x000d;
/// Type of a property: characters of the code page.
pub(crate) const STRING8: u16 = 0x001e;
/// Type of a property: characters of UTF-16, little-endian.
pub(crate) const UNICODE: u16 = 0x001f;
/// Type of a property: octets.
pub(crate) const BINARY: u16 = 0x0102;

const MANY: u16 = 0x1000;

/// Reads a list of properties, as long as it makes sense.
#[derive(Debug)]
pub(crate) struct MapiProperties<'a> {
    cursor: Cursor<'a>,
    left: u32,
}

impl<'a> MapiProperties<'a> {
    /// Begins to read the list at the start of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self::at(Cursor::new(bytes))
    }

    /// Begins to read the list at a cursor.
    pub(crate) fn at(mut cursor: Cursor<'a>) -> Self {
        let left = cursor.u32().unwrap_or(0);
        Self { cursor, left }
    }

    /// Returns the place behind what was read.
    pub(crate) fn into_cursor(self) -> Cursor<'a> {
        self.cursor
    }

    /// Tells whether the whole list could be read.
    pub(crate) fn is_done(&self) -> bool {
        self.left == 0
    }

    fn read(&mut self) -> Option<MapiProperty<'a>> {
        let cursor = &mut self.cursor;
        let (kind, id) = (cursor.u16()?, cursor.u16()?);
        if id >= 0x8000 {
            skip_name(cursor)?;
        }
        let many = kind & MANY != 0;
        let kind = kind & !MANY;
        let value = if let Some(size) = fixed_size(kind) {
            let count = if many { cursor.length()? } else { 1 };
            let all = cursor.take(count.checked_mul(size.next_multiple_of(4))?)?;
            all.get(..size).unwrap_or_default()
        } else {
            variable(cursor)?
        };
        Some(MapiProperty { id, kind, value })
    }
}

impl<'a> Iterator for MapiProperties<'a> {
    type Item = MapiProperty<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let property = self.read()?;
        self.left -= 1;
        Some(property)
    }
}

/// Reads the values of a type of variable size; returns the first.
fn variable<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let count = cursor.u32()?;
    let mut first = None;
    for _ in 0..count {
        let size = cursor.length()?;
        let value = cursor.take_padded(size)?;
        first = first.or(Some(value));
    }
    Some(first.unwrap_or_default())
}

fn skip_name(cursor: &mut Cursor<'_>) -> Option<()> {
    const SET_OCTETS: usize = 16;
    cursor.take(SET_OCTETS)?;
    if cursor.u32()? == 0 {
        cursor.u32()?;
    } else {
        let size = cursor.length()?;
        cursor.take_padded(size)?;
    }
    Some(())
}

/// Returns the size of a value. `None` for types whose values have a length of their own.
fn fixed_size(kind: u16) -> Option<usize> {
    match kind {
        OBJECT | STRING8 | UNICODE | BINARY => None,
        0x0002 | 0x000b => Some(2),
        0x0003 | 0x0004 | 0x000a => Some(4),
        0x0005..=0x0007 | 0x0014 | 0x0040 => Some(8),
        0x0048 => Some(16),
        // No other type has a place in TNEF; its values, if any, are taken as four octets.
        _ => Some(4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_and_multiple_values_are_passed_over() {
        let mut bytes = vec![3, 0, 0, 0];
        bytes.extend_from_slice(&[0x02, 0x10, 1, 0, 2, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0]);
        bytes.extend_from_slice(&[0x1e, 0, 0, 0x80]);
        bytes.extend_from_slice(&[0; 16]);
        bytes.extend_from_slice(&[1, 0, 0, 0, 2, 0, 0, 0, b'x', 0, 0, 0]);
        bytes.extend_from_slice(&[1, 0, 0, 0, 3, 0, 0, 0, b'a', b'b', 0, 0]);
        bytes.extend_from_slice(&[0x0b, 0, 2, 0, 1, 0, 0, 0]);
        let mut properties = MapiProperties::new(&bytes);
        let got: Vec<_> = properties.by_ref().map(|p| (p.id, p.kind, p.value)).collect();
        let want: [(u16, u16, &[u8]); 3] =
            [(1, 2, &[7, 0]), (0x8000, STRING8, b"ab\0"), (2, 11, &[1, 0])];
        assert_eq!(got, want);
        assert!(properties.is_done());
    }

    #[test]
    fn counts_that_lie_end_the_list() {
        for bytes in [
            &[255, 255, 255, 255][..],
            &[1, 0, 0, 0, 0x1e, 0, 1, 0, 255, 255, 255, 255],
            &[1, 0, 0, 0, 3, 0x10, 1, 0, 255, 255, 255, 255, 1, 2, 3, 4],
            &[1, 0, 0, 0, 2, 1, 1, 0, 1, 0, 0, 0, 255, 255, 255, 127],
        ] {
            let mut properties = MapiProperties::new(bytes);
            assert_eq!(properties.by_ref().count(), 0, "{bytes:?}");
            assert!(!properties.is_done());
        }
    }
}
