//! The parameters of a request: `?name=value&…`. Unknown and repeated parameters are refused.
//!
//! Standards: RFC 3986 §3.4; a plus sign is a blank, as forms write it.

use crate::exact;
use crate::percent;
use crate::problem::Problem;
use axum::http::Uri;
use postroom_model::Invalid;
use serde_json::Value as Json;

/// How many parameters a request may have.
const COUNT_MAX: usize = 64;

/// The parameters of a request, in their order.
///
/// # Errors
///
/// 400 when they are not well formed or too many.
pub(crate) fn all(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    let odd = || Problem::malformed("the query is not name=value&…, percent-encoded UTF-8");
    let decoded = |text: &str| percent::decode(&text.replace('+', " "));
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(name)?, decoded(value)?))
    };
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let pairs: Vec<_> = pairs.map(pair).collect::<Option<_>>().ok_or_else(odd)?;
    if pairs.len() > COUNT_MAX {
        return Err(Problem::malformed(format!("more than {COUNT_MAX} parameters")));
    }
    Ok(pairs)
}

/// The parameters of a request that accepts only those of `names`, each once.
///
/// # Errors
///
/// As [`all`]; 422 with every other parameter.
pub(crate) fn of(uri: &Uri, names: &[&str]) -> Result<Vec<(String, String)>, Problem> {
    let pairs = all(uri)?;
    let mut problems = vec![];
    for (at, (name, _)) in pairs.iter().enumerate() {
        if !names.contains(&name.as_str()) {
            let there = match names {
                [] => "this request takes no parameters".to_owned(),
                names => format!("there is {}", names.join(", ")),
            };
            problems.push(Invalid::new(name, format!("no such parameter; {there}")));
        } else if pairs.iter().take(at).any(|(other, _)| other == name) {
            problems.push(Invalid::new(name, "is given twice"));
        }
    }
    if problems.is_empty() { Ok(pairs) } else { Err(problems.into()) }
}

/// The value of a parameter that is true or false.
///
/// # Errors
///
/// Anything else.
pub(crate) fn flag(name: &str, text: &str) -> Result<bool, Invalid> {
    text.parse().map_err(|_| Invalid::new(name, "takes true or false"))
}

/// The JSON of the parameter `filter`.
///
/// # Errors
///
/// 400 when it is no JSON; 422 with the place of each number that cannot be kept, because another
/// number would choose other entities.
pub(crate) fn filter(text: &str) -> Result<Json, Problem> {
    let json = serde_json::from_str(text);
    let json = json.map_err(|error| Problem::not_json("`filter`", &error))?;
    let rounded = exact::rounded(text.as_bytes()).into_iter();
    let rounded: Vec<_> = rounded.map(|place| format!("filter{place}")).collect();
    exact::refuse(&rounded)?;
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, names: &[&str]) -> Result<Vec<(String, String)>, u16> {
        let uri: Uri = format!("/x?{query}").parse().unwrap();
        of(&uri, names).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn parameters_are_read_strictly() {
        let pairs = |list: &[(&str, &str)]| {
            Ok(list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>())
        };
        #[rustfmt::skip]
        let table: [(&str, &[&str], Result<Vec<_>, u16>); 12] = [
            ("",                 &[],           pairs(&[])),
            ("a=1",              &["a"],        pairs(&[("a", "1")])),
            ("a=b+c%2B%C3%BC&",  &["a"],        pairs(&[("a", "b c+ü")])),
            ("b&a=",             &["a", "b"],   pairs(&[("b", ""), ("a", "")])),
            ("a=1=2",            &["a"],        pairs(&[("a", "1=2")])),
            ("a=1",              &[],           Err(422)),
            ("A=1",              &["a"],        Err(422)),
            ("a=1&a=1",          &["a"],        Err(422)),
            ("=1",               &["a"],        Err(422)),
            ("a=%",              &["a"],        Err(400)),
            ("a=%zz",            &["a"],        Err(400)),
            ("a=%ff",            &["a"],        Err(400)),
        ];
        for (query, names, want) in table {
            assert_eq!(read(query, names), want, "{query}");
        }
        assert_eq!(read(&"a=1&".repeat(65), &["a"]), Err(400));
    }
}
