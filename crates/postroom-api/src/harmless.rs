//! Makes the html of mail harmless, so that clients can show it within their own pages.
//!
//! ammonia keeps only listed elements and attributes. It drops scripts, handlers, forms, frames and
//! styles of the whole page. Attributes that load something from elsewhere are kept only if the
//! client asks for it. Links stay, because nothing is loaded until a person follows one.
//!
//! By the rules of html, a short text can become very many elements, or take very long to parse. So
//! a first pass counts the steps of the parser, and html with too many steps is refused.

use crate::problem::Problem;
use ammonia::Builder;
use ammonia::UrlRelative;
use axum::http::StatusCode;
use std::borrow::Cow;
use std::collections::HashSet;

mod steps;

/// A longer html is refused.
pub(crate) const HTML_BYTES_MAX: u64 = 8 << 20;

/// Elements that are dropped with their content.
const DROPPED: [&str; 14] = [
    "script", "style", "title", "template", "iframe", "noframes", "noembed", "noscript", "object",
    "svg", "math", "select", "audio", "video",
];

/// The properties of styles that are kept. They cannot move an element out of its place.
#[rustfmt::skip]
const STYLES: &[&str] = &[
    "background", "background-color", "background-image", "background-position",
    "background-repeat", "background-size", "border", "border-bottom", "border-bottom-color",
    "border-bottom-style", "border-bottom-width", "border-collapse", "border-color", "border-left",
    "border-left-color", "border-left-style", "border-left-width", "border-radius", "border-right",
    "border-right-color", "border-right-style", "border-right-width", "border-spacing",
    "border-style", "border-top", "border-top-color", "border-top-style", "border-top-width",
    "border-width", "caption-side", "clear", "color", "direction", "display", "empty-cells",
    "float", "font", "font-family", "font-size", "font-style", "font-variant", "font-weight",
    "height", "letter-spacing", "line-height", "list-style-type", "margin", "margin-bottom",
    "margin-left", "margin-right", "margin-top", "max-height", "max-width", "min-height",
    "min-width", "overflow-wrap", "padding", "padding-bottom", "padding-left", "padding-right",
    "padding-top", "table-layout", "text-align", "text-decoration", "text-indent",
    "text-transform", "unicode-bidi", "vertical-align", "white-space", "width", "word-break",
    "word-spacing", "word-wrap",
];

/// Functions that the value of a style may have.
const FUNCTIONS: [&str; 6] = ["rgb", "rgba", "hsl", "hsla", "calc", "url"];

/// Schemes of links.
const LINKS: [&str; 6] = ["http", "https", "mailto", "tel", "sms", "xmpp"];

/// Kinds of pictures that may be embedded in the html. None of them can have scripts.
const PICTURES: [&str; 7] = ["png", "jpeg", "jpg", "gif", "webp", "bmp", "avif"];

/// Makes html harmless. This takes long, so call it on a blocking thread. `remote` keeps pictures
/// that are loaded from elsewhere.
///
/// # Errors
///
/// 422 for html that takes a parser too many steps.
pub(crate) fn clean(html: &str, remote: bool) -> Result<String, Problem> {
    if !steps::are_few(html) {
        let detail = "the html of this message is nested so deeply or so often, or has so much \
                      text in one piece, that it cannot be made safe: read it without `safe`, or \
                      read `text`";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too-intricate", detail));
    }
    Ok(builder(remote).clean(html).to_string())
}

fn builder(remote: bool) -> Builder<'static> {
    let mut builder = Builder::default();
    builder
        .add_tags(["font", "big", "tfoot", "address", "main", "section"])
        .rm_tags(["area", "map", "details", "summary", "data"])
        .add_clean_content_tags(DROPPED)
        .add_generic_attributes(["style", "align", "dir", "bgcolor", "valign"])
        .add_tag_attributes("a", ["target"])
        .add_tag_attributes("font", ["color", "face", "size"])
        .add_tag_attributes("img", ["border", "hspace", "vspace"])
        .add_tag_attributes("li", ["value", "type"])
        .add_tag_attributes("ol", ["type"])
        .add_tag_attributes("ul", ["type"])
        .url_schemes(LINKS.into_iter().chain(["cid", "data"]).collect())
        .url_relative(UrlRelative::Deny)
        .filter_style_properties(STYLES.iter().copied().collect::<HashSet<_>>());
    for table in ["table", "td", "th", "tr"] {
        builder.add_tag_attributes(
            table,
            ["background", "border", "bordercolor", "cellpadding", "cellspacing", "height"],
        );
        builder.add_tag_attributes(table, ["nowrap", "width"]);
    }
    builder.attribute_filter(move |_, name, value| match name {
        "href" | "cite" => {
            scheme(value).is_some_and(|scheme| is_one_of(&scheme, &LINKS)).then_some(value.into())
        }
        "src" | "background" => is_shown(value, remote).then_some(value.into()),
        // A link never takes the place of the page that shows it.
        "target" => Some("_blank".into()),
        "style" => Some(style(value, remote)),
        _ => Some(value.into()),
    });
    builder
}

/// Whether a picture at this address is shown.
fn is_shown(address: &str, remote: bool) -> bool {
    match scheme(address).as_deref() {
        Some("cid") => true,
        Some("http" | "https") => remote,
        Some("data") => {
            let kind = address.trim().get(5..).unwrap_or_default().to_ascii_lowercase();
            let kind = kind.strip_prefix("image/").and_then(|kind| kind.split_once([';', ',']));
            kind.is_some_and(|(kind, _)| is_one_of(kind, &PICTURES))
        }
        Some(_) | None => false,
    }
}

/// The scheme of an address as it is written. Browsers recognise further spellings, for example
/// with line ends in them. Such a scheme is in none of the lists.
fn scheme(address: &str) -> Option<String> {
    let (scheme, _) = address.trim().split_once(':')?;
    Some(scheme.to_ascii_lowercase())
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.contains(&word)
}

/// The declarations of a style that load nothing, or only what is shown.
fn style(value: &str, remote: bool) -> Cow<'_, str> {
    let is_harmless = |declaration: &&str| {
        // An escape could spell a function in another way.
        !declaration.contains(['\\', '@', '{', '}', '<'])
            && declaration.match_indices('(').all(|(at, _)| {
                let (before, behind) = declaration.split_at_checked(at + 1).unwrap_or_default();
                let before = before.strip_suffix('(').unwrap_or(before);
                let name = before.rsplit(|char: char| !is_of_name(char)).next().unwrap_or_default();
                let name = name.to_ascii_lowercase();
                let inner = behind.trim_start().trim_start_matches(['"', '\'']);
                is_one_of(&name, &FUNCTIONS) && (name != "url" || is_shown(inner, remote))
            })
    };
    if is_harmless(&value) {
        return Cow::Borrowed(value);
    }
    // A semicolon within a string makes pieces that are not declarations. ammonia drops these.
    Cow::Owned(value.split(';').filter(is_harmless).collect::<Vec<_>>().join(";"))
}

fn is_of_name(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '-' | '_')
}

#[cfg(test)]
mod tests;
