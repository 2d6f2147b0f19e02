//! Decides by the structure alone which leaves are shown, in which body, and which are files.
//!
//! Only alternatives replace each other. A part next to an alternative is shown in both bodies, so
//! that each of `text` and `html` holds everything that is shown. A text with a name is a file if
//! another text without a name is shown, unless it comes first and has no disposition. Of
//! `multipart/related`, only the root is shown (RFC 2387 §3.2). Of AppleDouble, the data fork is
//! the file.
//!
//! Standards: RFC 2046, 2183, 2387.

use crate::content::Disposition;
use crate::structure::MimeEntity;

/// What is read into a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShownAs {
    /// Plain text.
    Text,
    /// Html.
    Html,
}

/// The role of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is a multipart, or stands for something else that is there.
    Nothing,
    /// It is shown.
    Body(LeafPlace),
    /// It is a file.
    File,
}

/// Where a leaf is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeafPlace {
    /// What it is.
    pub shown: ShownAs,
    /// Whether it belongs to the text.
    pub in_text: bool,
    /// Whether it belongs to the html.
    pub in_html: bool,
}

/// Forms of a text that no mail program shows to its reader beside plain text or html.
const UNSHOWN: [&str; 5] =
    ["text/x-amp-html", "text/watch-html", "text/enriched", "text/richtext", "text/x-web-markdown"];
/// Texts that programs read.
const RECORDS: [&str; 8] = [
    "text/calendar",
    "text/x-vcalendar",
    "text/vcard",
    "text/x-vcard",
    "text/directory",
    "text/rtf",
    "text/rfc822-headers",
    "text/x-amp-html",
];
/// Ends of the names of what is no text, whatever it is called.
const BINARY: [&str; 26] = [
    ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".heic", ".pdf", ".zip",
    ".gz", ".7z", ".rar", ".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".exe", ".mp3",
    ".mp4", ".ics", ".vcf", ".p7m",
];

/// The entities of a message, and what was found out of them. What most messages have no need for
/// is empty.
struct Plan<'a> {
    entities: &'a [MimeEntity],
    shown: Vec<Option<ShownAs>>,
    /// Whether there are alternatives.
    has_choice: bool,
    /// The innermost alternative around each. Empty where there is none.
    alternative: Vec<Option<usize>>,
    /// Of each multipart, whether a part stands in it that can replace others.
    has_better: Vec<bool>,
}

/// Which bodies: the text, the html.
type InBodies = (bool, bool);

/// What goes into the bodies by one entity.
#[derive(Clone, Copy)]
struct BodyShare {
    /// Whether the bodies are open to what comes next in the multipart.
    open: InBodies,
    /// Whether they were open to the multipart itself.
    begun: InBodies,
    /// Where the leaf is.
    place: InBodies,
    /// What of the multipart is in the bodies.
    has: InBodies,
    /// Where all of an alternative is of which only one form is there.
    wider: Option<InBodies>,
}

/// The role of each entity.
#[must_use]
pub(crate) fn roles(entities: &[MimeEntity]) -> Vec<Role> {
    let mut plan = Plan::new(entities);
    if entities.iter().any(|entity| is_related(entity) || is_apple_double(entity)) {
        plan.relate();
    }
    if entities.iter().any(|entity| entity.content.name().is_some()) {
        plan.name();
    }
    if plan.shown.iter().all(Option::is_none) {
        plan.show_others();
    }
    plan.compare();
    let places = plan.places();
    let role = |(at, entity): (usize, &MimeEntity)| {
        let place = |shown| {
            let (in_text, in_html) = places.get(at).map_or((true, true), |share| share.place);
            Role::Body(LeafPlace { shown, in_text, in_html })
        };
        match plan.shown.get(at).copied().flatten() {
            _ if entity.has_parts => Role::Nothing,
            Some(shown) => place(shown),
            None if plan.is_replaced(entity) => Role::Nothing,
            None if entity.content.is_multipart() && entity.body.is_empty() => Role::Nothing,
            None => Role::File,
        }
    };
    entities.iter().enumerate().map(role).collect()
}

/// Whether it is one of the two forks of a file of a Macintosh.
#[must_use]
pub(crate) fn is_apple_double(entity: &MimeEntity) -> bool {
    let kind = &*entity.content.media_type;
    matches!(kind, "multipart/appledouble" | "multipart/x-appledouble")
}

fn is_related(entity: &MimeEntity) -> bool {
    entity.content.media_type == "multipart/related"
}

fn is_alternative(entity: &MimeEntity) -> bool {
    entity.content.media_type == "multipart/alternative"
}

impl<'a> Plan<'a> {
    fn new(entities: &'a [MimeEntity]) -> Self {
        let has_choice = entities.iter().any(is_alternative);
        let mut alternative: Vec<Option<usize>> = vec![];
        if has_choice {
            alternative.reserve_exact(entities.len());
        }
        for entity in entities.iter().filter(|_| has_choice) {
            let holder = entity.parent.and_then(|parent| Some((parent, entities.get(parent)?)));
            alternative.push(holder.and_then(|(at, holder)| {
                let around = || alternative.get(at).copied().flatten();
                if is_alternative(holder) { Some(at) } else { around() }
            }));
        }
        let is_whole = |entity: &&MimeEntity| !entity.has_parts;
        let shown =
            entities.iter().map(|entity| Some(entity).filter(is_whole).and_then(shown)).collect();
        Self { entities, shown, has_choice, alternative, has_better: vec![] }
    }

    fn holder(&self, entity: &MimeEntity) -> Option<&'a MimeEntity> {
        entity.parent.and_then(|parent| self.entities.get(parent))
    }

    fn is_named(&self, at: usize) -> bool {
        self.entities.get(at).is_some_and(|entity| entity.content.name().is_some())
    }

    /// Of related parts only the root is shown, of AppleDouble none.
    fn relate(&mut self) {
        let mut roots: Vec<Option<usize>> = vec![None; self.entities.len()];
        for (at, entity) in self.entities.iter().enumerate() {
            let Some((parent, holder)) = entity.parent.zip(self.holder(entity)) else { continue };
            let Some(root) = roots.get_mut(parent) else { continue };
            let is_shown = self.shown.get(at).copied().flatten().is_some() || entity.has_parts;
            let start = holder.content.start.as_deref();
            let is_start = start.is_some() && start == entity.content.content_id.as_deref();
            if is_shown && (root.is_none() || is_start) {
                *root = Some(at);
            }
        }
        for (at, entity) in self.entities.iter().enumerate() {
            let Some((parent, holder)) = entity.parent.zip(self.holder(entity)) else { continue };
            let is_root = roots.get(parent).copied().flatten() == Some(at);
            if ((is_related(holder) && !is_root) || is_apple_double(holder))
                && let Some(shown) = self.shown.get_mut(at)
            {
                *shown = None;
            }
        }
    }

    /// Texts with names are files where others are shown.
    fn name(&mut self) {
        let mut unnamed = false;
        // Of each alternative, whether text and html without names lie in it.
        let mut within = vec![(false, false); self.entities.len()];
        for (at, shown) in self.shown.iter().enumerate().filter(|(at, _)| !self.is_named(*at)) {
            let Some(shown) = shown else { continue };
            unnamed = true;
            let mut around = self.alternative.get(at).copied().flatten();
            while let Some(alternative) = around {
                let Some(found) = within.get_mut(alternative) else { break };
                let (text, html) = found;
                let known = if *shown == ShownAs::Text { text } else { html };
                if std::mem::replace(known, true) {
                    break;
                }
                around = self.alternative.get(alternative).copied().flatten();
            }
        }
        let mut is_first = true;
        let first = self.shown.iter().position(Option::is_some);
        for at in 0..self.entities.len() {
            let Some(shown) = self.shown.get(at).copied().flatten() else { continue };
            if !self.is_named(at) {
                continue;
            }
            let alternative = self.alternative.get(at).copied().flatten();
            let is_outdone = match alternative.and_then(|around| within.get(around)) {
                Some((text, html)) => {
                    if shown == ShownAs::Text {
                        *text
                    } else {
                        *html
                    }
                }
                None if first == Some(at) && self.is_typed_name(at) => false,
                None => unnamed || !is_first,
            };
            is_first = false;
            if (is_outdone || self.is_binary(at))
                && let Some(shown) = self.shown.get_mut(at)
            {
                *shown = None;
            }
        }
    }

    /// Whether only the type names a part, and nothing says how it is to be presented. Some
    /// programs name the message itself so.
    fn is_typed_name(&self, at: usize) -> bool {
        let content = self.entities.get(at).map(|entity| &entity.content);
        content.is_some_and(|it| it.disposition.is_none() && it.file_name.is_none())
    }

    fn is_binary(&self, at: usize) -> bool {
        let name = self.entities.get(at).and_then(|entity| entity.content.name());
        let name = name.map(|name| name.trim_end().to_ascii_lowercase()).unwrap_or_default();
        BINARY.iter().any(|end| name.ends_with(end))
    }

    /// Where nothing else is shown, other texts are.
    fn show_others(&mut self) {
        for (entity, shown) in self.entities.iter().zip(&mut self.shown) {
            let content = &entity.content;
            let is_text = content.media_type.starts_with("text/")
                && content.media_type != "text/html"
                && !RECORDS.contains(&&*content.media_type);
            let is_file = content.disposition == Some(Disposition::Attachment)
                || content.name().is_some()
                || entity.has_parts;
            if is_text && !is_file {
                *shown = Some(ShownAs::Text);
            }
        }
    }

    /// For each leaf, whether it belongs to the text and whether to the html. Where nothing is an
    /// alternative all belongs to both, and nothing is returned.
    fn places(&self) -> Vec<BodyShare> {
        const BOTH: InBodies = (true, true);
        const NONE: InBodies = (false, false);
        if !self.has_choice {
            return vec![];
        }
        let share = BodyShare { open: BOTH, begun: BOTH, place: NONE, has: NONE, wider: None };
        let mut shares = vec![share; self.entities.len()];
        for (at, entity) in self.entities.iter().enumerate() {
            let around = entity.parent.and_then(|parent| shares.get(parent));
            let around = around.map_or(BOTH, |holder| holder.open);
            let Some(own) = shares.get_mut(at) else { continue };
            (own.open, own.begun) = (around, around);
            let Some(shown) = self.shown.get(at).copied().flatten() else { continue };
            let alternative = self.alternative.get(at).copied().flatten();
            let is_choice = alternative.is_some() && alternative == entity.parent;
            let place = match (shown, is_choice) {
                (ShownAs::Text, true) => (around.0, false),
                (ShownAs::Html, true) => (false, around.1),
                // What is beside it in one alternative is not in the others.
                (ShownAs::Text, false) if alternative.is_some() && around.0 => (true, false),
                (ShownAs::Html, false) if alternative.is_some() && around.1 => (false, true),
                (_, false) => around,
            };
            (own.place, own.has) = (place, place);
            let holder = shares.get_mut(entity.parent.unwrap_or(0));
            if let Some(holder) = holder.filter(|_| !is_choice) {
                holder.open = place;
            }
        }
        self.complete(&mut shares);
        shares
    }

    /// An alternative of which only one form is there is in all bodies that are open to it.
    fn complete(&self, shares: &mut [BodyShare]) {
        for (at, entity) in self.entities.iter().enumerate().rev() {
            let Some(own) = shares.get_mut(at) else { continue };
            let (mut found, open) = (own.has, own.begun);
            let is_one = (found.0 != found.1 && open == (true, true)) || found == (false, false);
            if is_alternative(entity) && entity.has_parts && is_one {
                found = open;
                own.wider = Some(open);
            }
            if let Some(holder) = entity.parent.and_then(|parent| shares.get_mut(parent)) {
                holder.has = (holder.has.0 || found.0, holder.has.1 || found.1);
            }
        }
        for (at, entity) in self.entities.iter().enumerate() {
            let holder = entity.parent.and_then(|parent| shares.get(parent));
            let around = holder.and_then(|holder| holder.wider);
            let Some(own) = shares.get_mut(at) else { continue };
            own.wider = around.or(own.wider);
            own.place = own.wider.unwrap_or(own.place);
        }
    }

    /// Notes in which multiparts something stands that can replace others.
    fn compare(&mut self) {
        if !self.has_choice && !self.entities.iter().any(is_apple_double) {
            return;
        }
        let mut has_better = vec![false; self.entities.len()];
        for (at, entity) in self.entities.iter().enumerate() {
            let is_shown = self.shown.get(at).copied().flatten().is_some();
            let holder = self.holder(entity).filter(|holder| is_apple_double(holder));
            let is_data = holder.is_some() && entity.content.media_type != "application/applefile";
            let around = self.alternative.get(at).copied().flatten().filter(|_| is_shown);
            for place in [around, entity.parent.filter(|_| is_data)].into_iter().flatten() {
                if let Some(has_better) = has_better.get_mut(place) {
                    *has_better = true;
                }
            }
        }
        self.has_better = has_better;
    }

    /// Whether another part stands for one: an alternative that nobody shows, or what belongs to a
    /// file of a Macintosh beside its data.
    fn is_replaced(&self, entity: &MimeEntity) -> bool {
        let content = &entity.content;
        let Some((parent, holder)) = entity.parent.zip(self.holder(entity)) else { return false };
        if self.has_better.get(parent) != Some(&true) {
            return false;
        }
        if is_apple_double(holder) {
            return content.media_type == "application/applefile";
        }
        UNSHOWN.contains(&&*content.media_type)
            && is_alternative(holder)
            && content.disposition != Some(Disposition::Attachment)
            && content.name().is_none()
    }
}

/// Which body a leaf could belong to by its own header, if any.
fn shown(entity: &MimeEntity) -> Option<ShownAs> {
    let content = &entity.content;
    if content.disposition == Some(Disposition::Attachment) {
        return None;
    }
    match &*content.media_type {
        "text/plain" => Some(ShownAs::Text),
        "text/html" => Some(ShownAs::Html),
        // Nothing delimits its parts: what stands there is all that can be shown.
        _ if content.is_multipart() && !entity.body.is_empty() && !entity.is_opaque => {
            Some(ShownAs::Text)
        }
        _ => None,
    }
}
