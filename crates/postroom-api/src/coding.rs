//! The content codings that bodies may have in both directions: zstd and gzip.
//!
//! Standards: RFC 9110 §8.4.1, §12.5.3; RFC 8878 (zstd), RFC 9659 (its window), RFC 1952 (gzip).

use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::header;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// `zstd`
    Zstd,
    /// `gzip`
    Gzip,
}

/// A quality of 1, in thousandths.
const WHOLE: u16 = 1000;

impl Coding {
    /// All codings, the best first.
    pub(crate) const ALL: [Self; 2] = [Self::Zstd, Self::Gzip];
    /// All of them as the value of a header field.
    pub(crate) const LISTED: HeaderValue = HeaderValue::from_static("zstd, gzip");

    /// How header fields name it.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The coding of a name in a header field.
    #[must_use]
    pub(crate) fn of(name: &str) -> Option<Self> {
        // `x-gzip` is the same (RFC 9110 §8.4.1.3).
        let name = if name.eq_ignore_ascii_case("x-gzip") { "gzip" } else { name };
        Self::ALL.into_iter().find(|coding| coding.name().eq_ignore_ascii_case(name))
    }
}

/// The coding that a client wants most of those that we have. `None`: none of them.
#[must_use]
pub(crate) fn accepted(headers: &HeaderMap) -> Option<Coding> {
    let fields = headers.get_all(header::ACCEPT_ENCODING).into_iter();
    let listed = fields.filter_map(|field| field.to_str().ok()).flat_map(|field| field.split(','));
    let (mut found, mut others, mut identity) = ([None; Coding::ALL.len()], None, None);
    for (name, quality) in listed.filter_map(weighed) {
        let known = Coding::of(name);
        for (coding, found) in Coding::ALL.into_iter().zip(&mut found) {
            if known == Some(coding) {
                *found = Some(quality);
            }
        }
        match name {
            "*" => others = Some(quality),
            name if name.eq_ignore_ascii_case("identity") => identity = Some(quality),
            _ => {}
        }
    }
    let found = Coding::ALL.into_iter().zip(found);
    let qualities = found.map(|(coding, found)| (coding, found.or(others).unwrap_or(0)));
    // The first one of those with the same quality.
    let best = qualities.rev().max_by_key(|(_, quality)| *quality);
    let least = identity.unwrap_or(0).max(1);
    best.filter(|(_, quality)| *quality >= least).map(|(coding, _)| coding)
}

/// A name and its quality in thousandths. `None`: it is malformed.
fn weighed(element: &str) -> Option<(&str, u16)> {
    let (name, weight) = element.split_once(';').unwrap_or((element, "q=1"));
    let quality = weight.trim().strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('=')?;
    let quality: f32 = quality.trim().parse().ok()?;
    let is_quality = (0.0..=1.0).contains(&quality);
    let thousandths = (quality * f32::from(WHOLE)).round() as u16;
    is_quality.then_some((name.trim(), thousandths))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses_the_coding() {
        use Coding::Gzip;
        use Coding::Zstd;
        #[rustfmt::skip]
        let table = [
            ("",                                   None),
            ("br",                                 None),
            ("gzip",                               Some(Gzip)),
            ("X-GZIP",                             Some(Gzip)),
            ("gzip, deflate, br, zstd",            Some(Zstd)),
            ("gzip, zstd;q=0.9",                   Some(Gzip)),
            ("gzip;q=0.001",                       Some(Gzip)),
            ("gzip;q=0",                           None),
            ("*",                                  Some(Zstd)),
            ("*;q=0.5, zstd;q=0",                  Some(Gzip)),
            ("*;q=0",                              None),
            ("identity",                           None),
            ("identity;q=0.5, gzip",               Some(Gzip)),
            ("gzip;q=0.5, identity",               None),
            ("gzip ; Q=0.5 , zstd ;q=0.4",         Some(Gzip)),
            ("gzip;q=2, zstd;q=x, gzip;level=1",   None),
        ];
        for (field, want) in table {
            let value = HeaderValue::from_static(field);
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, value)]);
            assert_eq!(accepted(&headers), want, "{field}");
        }
        assert_eq!(accepted(&HeaderMap::new()), None);
    }
}
