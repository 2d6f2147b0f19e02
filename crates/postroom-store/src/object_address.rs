//! The form of a place for objects (bucket and prefix), and of the address of an S3 service.

use crate::error::Error;

/// The error for settings of the object store that cannot be used.
pub(crate) fn wrong(reason: String) -> Error {
    Error::ObjectsConfig { reason }
}

/// The bucket and the prefix of a place.
pub(crate) fn parse(place: &str) -> Result<(String, String), Error> {
    let form = || wrong("a place for contents is s3://BUCKET or s3://BUCKET/PREFIX".to_owned());
    let (bucket, prefix) = {
        let rest = place.strip_prefix("s3://").ok_or_else(form)?;
        rest.split_once('/').unwrap_or((rest, ""))
    };
    let is_bucket = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let prefix = prefix.trim_end_matches('/');
    let is_prefix = |c: char| is_bucket(c) || "/=+".contains(c);
    let has_odd_part =
        !prefix.is_empty() && prefix.split('/').any(|part| matches!(part, "" | "." | ".."));
    if bucket.is_empty()
        || !bucket.chars().all(is_bucket)
        || !prefix.chars().all(is_prefix)
        || has_odd_part
    {
        return Err(form());
    }
    Ok((bucket.to_owned(), prefix.to_owned()))
}

/// The address of the service, with the bucket in the host unless it is in the path.
pub(crate) fn address(
    endpoint: &str,
    bucket: &str,
    allow_http: bool,
    path_style: bool,
) -> Result<String, Error> {
    let endpoint = endpoint.trim_end_matches('/');
    let (scheme, host) = match endpoint.split_once("://") {
        Some((scheme @ ("http" | "https"), host)) if !host.is_empty() && !host.contains('@') => {
            (scheme, host)
        }
        // The error does not repeat the address, because it may contain a password.
        _ => {
            return Err(wrong("the address of S3 is https://HOST or https://HOST:PORT".to_owned()));
        }
    };
    if scheme == "http" && !allow_http {
        return Err(wrong(
            "the address of S3 is http, so others could read mail on the way: use https, or give \
             --blobs-allow-http if the network is private"
                .to_owned(),
        ));
    }
    Ok(match path_style {
        true => endpoint.to_owned(),
        false => format!("{scheme}://{bucket}.{host}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_and_the_path_style_are_used_only_when_asked_for() {
        let table = [
            ("https://s3.example", false, false, Some("https://mail.s3.example")),
            ("https://s3.example/", false, true, Some("https://s3.example")),
            ("http://s3.example:9000", false, true, None),
            ("http://s3.example:9000", true, true, Some("http://s3.example:9000")),
            ("s3.example", true, true, None),
            ("https://a:b@s3.example", true, true, None),
        ];
        for (endpoint, allow_http, path_style, want) in table {
            let got = address(endpoint, "mail", allow_http, path_style).ok();
            assert_eq!(got.as_deref(), want, "{endpoint}");
        }
        let refused = address("http://s3.example", "mail", false, false).unwrap_err().to_string();
        assert!(refused.contains("--blobs-allow-http"), "{refused}");
    }
}
