//! The outermost layer of TNEF: attributes of the message and its attachments (MS-OXTNEF §2.1.3).

use crate::tnef::cursor::Cursor;

/// What a TNEF stream begins with.
const SIGNATURE: u32 = 0x223e_9f78;

/// What an attribute belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// The message.
    Message,
    /// The attachment that is begun.
    Attachment,
}

/// One attribute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attribute<'a> {
    /// What it belongs to.
    pub level: Level,
    /// Its identifier without the type, such as `0x800f`.
    pub id: u16,
    /// Its value; shorter than it should be when the stream is cut off.
    pub value: &'a [u8],
    /// Whether the value is whole and its checksum right.
    pub is_sound: bool,
}

/// Reads the attributes of a stream, up to the first that makes no sense.
#[derive(Debug)]
pub(crate) struct Attributes<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Attributes<'a> {
    /// Begins to read a stream. `None` if it is not TNEF.
    pub(crate) fn open(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let is_tnef = cursor.u32()? == SIGNATURE;
        let _key = cursor.u16()?;
        is_tnef.then_some(Self { cursor })
    }

    /// Returns what could not be read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.cursor.rest()
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut cursor = self.cursor;
        let level = match cursor.u8()? {
            1 => Level::Message,
            2 => Level::Attachment,
            _ => return None,
        };
        let id = cursor.u16()?;
        let _kind = cursor.u16()?;
        let size = cursor.length()?;
        let whole = cursor.take(size);
        let value = match whole {
            Some(value) => value,
            None => {
                let rest = cursor.rest();
                cursor.take(rest.len())?
            }
        };
        let sum = value.iter().fold(0_u16, |sum, byte| sum.wrapping_add(u16::from(*byte)));
        let is_sound = whole.is_some() && cursor.u16() == Some(sum);
        self.cursor = cursor;
        Some(Attribute { level, id, value, is_sound })
    }
}
