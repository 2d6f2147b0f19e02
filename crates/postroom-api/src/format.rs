//! Formats of a list: a JSON array, one JSON object a line, or comma-separated values.
//!
//! Standards: RFC 4180 (text/csv), RFC 9110 §12.5.1 (Accept). Lines are `application/x-ndjson`.

use axum::http::HeaderMap;
use axum::http::header;
use serde_json::Value as Json;

/// The format of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A JSON array.
    Array,
    /// A JSON object on each line.
    Lines,
    /// Comma-separated values, with a line of names first.
    Csv,
}

impl Format {
    /// The format that a request prefers. It is an array unless another one is asked for.
    #[must_use]
    pub(crate) fn accepted(headers: &HeaderMap) -> Self {
        let mut best = (0.0, Self::Array);
        for range in media_ranges(headers) {
            let (format, weight) = weighed(range);
            if let Some(format) = format.filter(|_| weight > best.0) {
                best = (weight, format);
            }
        }
        best.1
    }

    /// The value of `Content-Type`.
    #[must_use]
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Array => "application/json",
            Self::Lines => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    /// What comes before the first row.
    #[must_use]
    pub(crate) fn front(self, columns: &[Vec<String>]) -> String {
        match self {
            Self::Array => "[".to_owned(),
            Self::Lines => String::new(),
            Self::Csv => {
                let names = columns.iter().map(|path| Json::from(path.join(".")));
                record(names)
            }
        }
    }

    /// What comes between two rows.
    #[must_use]
    pub(crate) fn between(self) -> &'static str {
        if self == Self::Array { "," } else { "" }
    }

    /// What comes after the last row.
    #[must_use]
    pub(crate) fn end(self) -> &'static str {
        if self == Self::Array { "]" } else { "" }
    }

    /// A row.
    #[must_use]
    pub(crate) fn row(self, row: &Json, columns: &[Vec<String>]) -> String {
        match self {
            Self::Array => row.to_string(),
            Self::Lines => format!("{row}\n"),
            Self::Csv => record(columns.iter().map(|path| value_at(row, path))),
        }
    }
}

/// The media ranges of `Accept`, each with its parameters.
pub(crate) fn media_ranges(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let fields = headers.get_all(header::ACCEPT).into_iter();
    fields.filter_map(|field| field.to_str().ok()).flat_map(|text| text.split(','))
}

/// The format of a media range, and its weight.
fn weighed(range: &str) -> (Option<Format>, f32) {
    let mut parts = range.split(';').map(str::trim);
    let format = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "application/json" | "application/*" | "*/*" => Some(Format::Array),
        "application/x-ndjson" | "application/jsonl" => Some(Format::Lines),
        "text/csv" => Some(Format::Csv),
        _ => None,
    };
    let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let weight = weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0));
    (format, weight)
}

/// The value at a path. For a list, it is the list of the values of its items.
fn value_at(value: &Json, path: &[String]) -> Json {
    match (value, path.split_first()) {
        (value, None) => value.clone(),
        (Json::Object(members), Some((name, rest))) => {
            members.get(name).map(|value| value_at(value, rest)).unwrap_or_default()
        }
        (Json::Array(items), Some(_)) => items.iter().map(|item| value_at(item, path)).collect(),
        (Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_), Some(_)) => Json::Null,
    }
}

/// A line of comma-separated values. An unset value is empty, an empty text is `""`.
fn record(values: impl Iterator<Item = Json>) -> String {
    let cells: Vec<_> = values.map(cell).collect();
    format!("{}\r\n", cells.join(","))
}

fn cell(value: Json) -> String {
    let text = match value {
        Json::Null => return String::new(),
        Json::String(text) => text,
        other @ (Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
            other.to_string()
        }
    };
    if text.is_empty() || text.contains(['"', ',', '\r', '\n']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use serde_json::json;

    #[test]
    fn the_format_is_the_one_that_is_wanted_most() {
        #[rustfmt::skip]
        let table = [
            ("",                                          Format::Array),
            ("*/*",                                       Format::Array),
            ("application/x-ndjson",                      Format::Lines),
            ("application/jsonl",                         Format::Lines),
            ("text/csv",                                  Format::Csv),
            ("TEXT/CSV; header=present",                  Format::Csv),
            ("application/json, text/csv;q=0.5",          Format::Array),
            ("application/json;q=0.1, text/csv;q=0.5",    Format::Csv),
            ("text/html, application/x-ndjson, */*;q=0.8", Format::Lines),
            ("text/csv;q=0",                              Format::Array),
            ("image/png",                                 Format::Array),
        ];
        for (accept, want) in table {
            let headers =
                HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(Format::accepted(&headers), want, "{accept}");
        }
    }

    #[test]
    fn a_value_that_has_commas_quotes_or_lines_is_quoted() {
        let row = json!({
            "a": "x", "b": "x,y", "c": "say \"hi\"", "d": "1\r\n2", "e": "", "f": null, "g": 5,
            "h": ["p", "q"], "i": [{"k": 1}, {"k": 2}], "j": {"k": true},
        });
        let paths = ["a", "b", "c", "d", "e", "f", "g", "h", "i.k", "j.k", "a.k", "nope"];
        let columns: Vec<Vec<String>> =
            paths.iter().map(|path| path.split('.').map(str::to_owned).collect()).collect();
        let want = "x,\"x,y\",\"say \"\"hi\"\"\",\"1\r\n2\",\"\",,5,\"[\"\"p\"\",\"\"q\"\"]\",\"[1,2]\",true,,\r\n";
        assert_eq!(Format::Csv.row(&row, &columns), want);
        assert_eq!(Format::Csv.front(&columns), "a,b,c,d,e,f,g,h,i.k,j.k,a.k,nope\r\n");
        assert_eq!(Format::Lines.row(&json!({"a": "1\n2"}), &columns), "{\"a\":\"1\\n2\"}\n");
    }
}
