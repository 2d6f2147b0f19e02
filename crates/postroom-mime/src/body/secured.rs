//! S/MIME within the body. Signed content is shown, and encrypted content is marked as encrypted.
//!
//! Only the content shows which of the two it is. Type, parameter and name only show where to look,
//! because each of them is missing or wrong in some mail.
//!
//! Standards: RFC 8551 §3.

use crate::body::reader::Bodies;
use crate::body::reader::BodyReader;
use crate::body::reader::push;
use crate::charset::Detection;
use crate::cms;
use crate::cms::Cms;
use crate::content::ContentFields;
use crate::defect::Defect;
use crate::defect::Defects;
use crate::encoded_multipart;
use crate::html;
use crate::leaf;
use crate::message::Container;
use crate::message::PartSource;
use crate::message::Protection;
use crate::security;
use crate::source::ByteSource;
use crate::source::Slice;
use crate::structure::MimeEntity;
use crate::transfer::TransferEncoding;
use std::borrow::Cow;
use std::io;

/// How deep signed messages are opened in one another.
const DEPTH_MAX: usize = 3;
/// How much of a content tells its kind.
const START_BYTES: usize = 128;

/// What the header of a part says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeclaredProtection {
    Signed,
    Encrypted,
    /// Not which of the two.
    Either,
}

impl<S: ByteSource> BodyReader<'_, S> {
    /// Looks into a file that may be S/MIME.
    pub(crate) fn secured(&mut self, entity: &MimeEntity) -> io::Result<()> {
        let Some(told) = told(&entity.content) else { return Ok(()) };
        let unheard = &mut Defects::default();
        let (start, _) = leaf::content(self.source, entity, START_BYTES, unheard)?;
        let found = match (cms::kind(&plain(start)), told) {
            (Some(Cms::Signed), _) => return self.signed(entity, told),
            (Some(Cms::Encrypted), _) | (None, DeclaredProtection::Encrypted) => {
                Some(Protection::Encrypted)
            }
            (None, DeclaredProtection::Signed) => Some(Protection::Opaque),
            (Some(Cms::Other), _) | (None, DeclaredProtection::Either) => None,
        };
        self.bodies.security = security::stronger(self.bodies.security, found);
        Ok(())
    }

    fn signed(&mut self, entity: &MimeEntity, told: DeclaredProtection) -> io::Result<()> {
        let is_message = entity.parent.is_none() || told == DeclaredProtection::Signed;
        let mut found = is_message.then_some(Protection::Opaque);
        let max = self.limits.open_bytes_max;
        let (content, size_bytes) =
            leaf::content(self.source, entity, max, &mut Defects::default())?;
        if size_bytes.is_none() || self.depth >= DEPTH_MAX {
            self.defects.note(Defect::OpenOver);
        } else if let Some(inner) = cms::signed_content(&plain(content)) {
            if self.open(&inner)? {
                found = Some(Protection::Opaque);
            }
        } else if told != DeclaredProtection::Signed {
            // Certificates alone.
            found = None;
        }
        self.bodies.security = security::stronger(self.bodies.security, found);
        Ok(())
    }

    /// Adds what is signed; returns whether it is mail at all.
    fn open(&mut self, inner: &[u8]) -> io::Result<bool> {
        let mut defects = Defects::default();
        let (inner, structure) = encoded_multipart::scan(inner, self.limits, &mut defects)?;
        let source = &mut Slice(&inner);
        let is_typed = structure.entities.first().is_some_and(|root| root.content.is_typed);
        if !is_typed {
            return Ok(false);
        }
        let mut reader = BodyReader {
            source,
            limits: self.limits,
            detection: Detection::default(),
            defects: &mut defects,
            bodies: Bodies::default(),
            has_text: false,
            has_html: false,
            depth: self.depth + 1,
        };
        reader.read(&structure)?;
        let mut bodies = reader.bodies;
        let found = security::recognise(&structure.entities, bodies.text.as_deref());
        self.bodies.security = security::stronger(self.bodies.security, found);
        for file in &mut bodies.files {
            let bytes = leaf::content_at(source, &file.source, usize::MAX)?;
            file.source = PartSource::Bytes(bytes);
            file.container.get_or_insert(Container::Cms);
        }
        defects.into_list().into_iter().for_each(|defect| self.defects.note(defect));
        self.join(bodies);
        Ok(true)
    }

    /// Adds the bodies of what was opened behind those that are there.
    fn join(&mut self, inner: Bodies) {
        let max = self.limits.text_bytes_max;
        let own = &mut self.bodies;
        own.security = security::stronger(own.security, inner.security);
        own.html_location = own.html_location.take().or(inner.html_location);
        if own.html.is_some() || inner.html.is_some() {
            if let Some(text) = own.text.as_deref().filter(|_| own.html.is_none()) {
                own.html = Some(html::of_text(text));
            }
            let html = inner.html.as_deref().map(Cow::Borrowed);
            let html = html.or_else(|| inner.text.as_deref().map(html::of_text).map(Cow::Owned));
            own.html_source = None;
            html.into_iter().for_each(|html| push(&mut own.html, &html, max, self.defects));
        }
        if own.text.is_some() || inner.text.is_some() {
            let is_derived = inner.text.is_none() && inner.html.is_some();
            let derived = || html::text(inner.html.as_deref()?, max).into();
            let text: Option<String> = inner.text.clone().or_else(derived);
            text.into_iter().for_each(|text| push(&mut own.text, &text, max, self.defects));
            own.text_place = None;
            own.is_derived |= is_derived || inner.is_derived;
        }
        own.has_text |= inner.has_text;
        own.has_html |= inner.has_html;
        self.has_text |= inner.has_text;
        self.has_html |= own.html.is_some();
        own.files.extend(inner.files);
    }
}

/// What a header says of a part that may be S/MIME. `None` if it is none.
fn told(content: &ContentFields) -> Option<DeclaredProtection> {
    if !content.media_type.starts_with("application/") {
        return None;
    }
    let name = content.name().map(|name| name.trim().to_ascii_lowercase());
    let ends = |end: &str| name.as_deref().is_some_and(|name| name.ends_with(end));
    let told = match content.security_type.as_deref() {
        Some("signed-data" | "signed-receipt") => Some(DeclaredProtection::Signed),
        Some("enveloped-data" | "authenveloped-data" | "authenticated-enveloped-data") => {
            Some(DeclaredProtection::Encrypted)
        }
        _ => None,
    };
    match &*content.media_type {
        "application/pkcs7-mime" | "application/x-pkcs7-mime" | "application/cms" => {
            Some(told.unwrap_or(DeclaredProtection::Either))
        }
        // Not to be looked into, but for its bytes.
        "application/octet-stream" if name.is_none() => {
            Some(told.unwrap_or(DeclaredProtection::Either))
        }
        kind if !kind.contains("signature") => {
            (told.is_some() || ends(".p7m")).then_some(told.unwrap_or(DeclaredProtection::Either))
        }
        _ => None,
    }
}

/// A content whose base64 its header does not tell.
fn plain(content: Vec<u8>) -> Vec<u8> {
    if content.starts_with(b"MI") || content.starts_with(b"-----BEGIN ") {
        return TransferEncoding::Base64.decode(&content);
    }
    content
}
