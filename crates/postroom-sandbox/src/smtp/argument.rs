//! The arguments of MAIL and RCPT (RFC 5321 §4.1.1.2, §4.1.1.3).

/// `FROM:<address> param param`, or the same with `TO:`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// The address; empty for `<>`.
    pub address: String,
    /// The parameters as they stand.
    pub parameters: Vec<String>,
}

/// Reads the argument after the verb; `keyword` is `FROM:` or `TO:`.
///
/// `None` if it is not of this form. A source route (`<@a,@b:user@c>`) is dropped, as RFC 5321
/// §4.1.1.3 wants.
pub(crate) fn path(argument: &str, keyword: &str) -> Option<Path> {
    let (start, rest) = argument.split_at_checked(keyword.len())?;
    if !start.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let inside = rest.trim_start().strip_prefix('<')?;
    let end = closing(inside)?;
    let (address, after) = inside.split_at_checked(end)?;
    let parameters = after.strip_prefix('>')?;
    if !parameters.is_empty() && !parameters.starts_with(' ') {
        return None;
    }
    let address = match address.strip_prefix('@').and_then(|route| route.split_once(':')) {
        Some((_, routed)) => routed,
        None => address,
    };
    Some(Path {
        address: address.to_owned(),
        parameters: parameters.split_ascii_whitespace().map(str::to_owned).collect(),
    })
}

/// Where the `>` stands that is not inside a quoted local part.
fn closing(inside: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_an_address_with_parameters() {
        type Want = Option<(&'static str, &'static [&'static str])>;
        let table: &[(&str, Want)] = &[
            ("FROM:<a@b.test>", Some(("a@b.test", &[]))),
            (
                "from: <a@b.test> SIZE=3 BODY=8BITMIME",
                Some(("a@b.test", &["SIZE=3", "BODY=8BITMIME"])),
            ),
            ("FROM:<>", Some(("", &[]))),
            ("FROM:<@x.test,@y.test:a@b.test>", Some(("a@b.test", &[]))),
            (r#"FROM:<"a> \" b"@b.test>"#, Some((r#""a> \" b"@b.test"#, &[]))),
            ("FROM:<müller@b.test>", Some(("müller@b.test", &[]))),
            ("FROM:<a@b.test>x", None),
            ("FROM:a@b.test", None),
            ("FROM:<a@b.test", None),
            ("TO:<a@b.test>", None),
            ("FRO", None),
        ];
        for (argument, want) in table {
            let want = want.map(|(address, parameters)| Path {
                address: address.to_owned(),
                parameters: parameters.iter().map(|text| (*text).to_owned()).collect(),
            });
            assert_eq!(path(argument, "FROM:"), want, "{argument}");
        }
    }
}
