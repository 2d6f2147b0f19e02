//! Files that lie encoded in a text, or are a part as a whole: uuencode and yEnc.

use crate::body::reader::BodyReader;
use crate::body::reader::FileLeaf;
use crate::content::ContentFields;
use crate::defect::Defect;
use crate::encoding_field::Declared;
use crate::message::Container;
use crate::message::PartSource;
use crate::source;
use crate::source::ByteSource;
use crate::structure::MimeEntity;
use crate::uuencode;
use crate::yenc;
use std::borrow::Cow;
use std::io;

/// How long a line of an encoded file may be.
const LINE_BYTES_MAX: usize = 1_000;

impl<S: ByteSource> BodyReader<'_, S> {
    /// Takes encoded files out of a text. One that the end of a cut text cuts stays in it.
    pub(crate) fn encoded_files(
        &mut self,
        part: &ContentFields,
        content: Vec<u8>,
        is_cut: bool,
    ) -> Vec<u8> {
        if content.len() > self.limits.open_bytes_max || uuencode::BEGIN.find(&content).is_none() {
            return content;
        }
        let uuencoded = uuencode::blocks(&content);
        let is_yenc = uuencoded.is_empty() && part.file_encoding != Some(Declared::Uuencode);
        // What has no end may be a text that speaks of such files: it stays.
        let mut taken = vec![];
        // Its last line is cut as well.
        let cut_at = if is_cut { content.len().saturating_sub(LINE_BYTES_MAX) } else { usize::MAX };
        for block in uuencoded {
            if !block.is_complete && block.range.end >= cut_at {
                self.defects.note(Defect::OpenOver);
                continue;
            }
            let is_sound = block.is_complete && !block.is_damaged;
            self.encoded_file(block.name, block.content, is_sound, Container::Uuencode);
            taken.extend(block.is_complete.then_some(block.range));
        }
        for block in if is_yenc { yenc::blocks(&content) } else { vec![] } {
            if !block.is_closed && block.range.end >= cut_at {
                self.defects.note(Defect::OpenOver);
                continue;
            }
            self.encoded_file(block.name, block.content, block.is_complete, Container::Yenc);
            taken.extend(block.is_closed.then_some(block.range));
        }
        if taken.is_empty() {
            return content;
        }
        let (mut rest, mut at) = (Vec::new(), 0);
        for range in taken {
            rest.extend_from_slice(content.get(at..range.start).unwrap_or_default());
            at = range.end;
        }
        rest.extend_from_slice(content.get(at..).unwrap_or_default());
        rest
    }

    fn encoded_file(&mut self, name: String, bytes: Vec<u8>, is_sound: bool, container: Container) {
        if !is_sound {
            self.defects.note(Defect::EncodedFileMalformed);
        }
        self.bodies.files.push(FileLeaf {
            declared_name: Some(name.clone()),
            name: Some(name),
            media_type: Cow::Borrowed("application/octet-stream"),
            content_id: None,
            location: None,
            size_bytes: bytes.len() as u64,
            source: PartSource::Bytes(bytes),
            container: Some(container),
        });
    }

    /// Adds a part that is one encoded file as a whole; returns whether it is.
    pub(crate) fn encoded_part(
        &mut self,
        entity: &MimeEntity,
        encoding: Declared,
    ) -> io::Result<bool> {
        let length = entity.body.end - entity.body.start;
        if length > self.limits.open_bytes_max as u64 {
            self.defects.note(Defect::OpenOver);
            return Ok(false);
        }
        let body = source::read(self.source, &entity.body, self.limits.open_bytes_max)?;
        let (container, found): (_, Vec<(String, Vec<u8>, bool)>) = if encoding == Declared::Yenc {
            let found = yenc::blocks(&body).into_iter();
            let each = |block: yenc::YencBlock| (block.name, block.content, block.is_complete);
            (Container::Yenc, found.map(each).collect())
        } else {
            let found = uuencode::blocks(&body).into_iter();
            let each = |block: uuencode::UuencodeBlock| {
                (block.name, block.content, block.is_complete && !block.is_damaged)
            };
            (Container::Uuencode, found.map(each).collect())
        };
        let mut found = found.into_iter();
        let Some((name, bytes, is_sound)) = found.next() else {
            self.defects.note(Defect::EncodedFileMalformed);
            return Ok(false);
        };
        if !is_sound {
            self.defects.note(Defect::EncodedFileMalformed);
        }
        let content = &entity.content;
        self.bodies.files.push(FileLeaf {
            declared_name: content.name().map(str::to_owned),
            name: content.name().map(str::to_owned).or(Some(name)),
            media_type: content.media_type.clone(),
            content_id: content.content_id.clone(),
            location: content.location.clone(),
            size_bytes: bytes.len() as u64,
            source: PartSource::Bytes(bytes),
            container: Some(container),
        });
        for (name, bytes, is_sound) in found {
            self.encoded_file(name, bytes, is_sound, container);
        }
        Ok(true)
    }
}
