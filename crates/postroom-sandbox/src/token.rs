//! Access tokens within SASL: XOAUTH2 and OAUTHBEARER (RFC 7628). The token of a user is the
//! password, unless a provider gives the tokens.

/// What is said of a token that is refused, before the refusal.
pub(crate) const REFUSED: &str =
    r#"{"status":"invalid_token","schemes":"bearer","scope":"https://mail.example/"}"#;

/// The user and the token of a message. `None`: it has another form.
pub(crate) fn credentials(mechanism: &str, message: &str) -> Option<(String, String)> {
    let mut parts = message.split('\x01');
    let head = parts.next()?;
    let user = match mechanism {
        "XOAUTH2" => head.strip_prefix("user=")?.to_owned(),
        "OAUTHBEARER" => {
            let name = head.strip_prefix("n,a=")?.strip_suffix(',')?;
            name.replace("=2C", ",").replace("=3D", "=")
        }
        _ => return None,
    };
    let token = parts.next()?.strip_prefix("auth=Bearer ")?;
    Some((user, token.to_owned()))
}
