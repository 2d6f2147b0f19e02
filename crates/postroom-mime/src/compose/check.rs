//! What no field of a draft may hold, whatever it is for: line breaks and NUL.
//!
//! Each would let a value end its header field and begin another one.

use postroom_model::Invalid;

use crate::compose::{Address, Draft, DraftFile};

/// Checks all that goes into the header, or into the header of a part.
pub(crate) fn draft(draft: &Draft) -> Result<(), Invalid> {
    address("from", &draft.from)?;
    if let Some(sender) = &draft.sender {
        address("sender", sender)?;
    }
    for (property, list) in [("replyTo", &draft.reply_to), ("to", &draft.to), ("cc", &draft.cc)] {
        for (at, item) in list.iter().enumerate() {
            address(&format!("{property}[{at}]"), item)?;
        }
    }
    line("subject", &draft.subject)?;
    line("messageId", &draft.message_id)?;
    for (property, list) in [("inReplyTo", &draft.in_reply_to), ("references", &draft.references)] {
        for (at, item) in list.iter().enumerate() {
            line(&format!("{property}[{at}]"), item)?;
        }
    }
    for (at, (name, value)) in draft.headers.iter().enumerate() {
        line(&format!("headers[{at}].name"), name)?;
        line(&format!("headers[{at}].value"), value)?;
    }
    files("inlines", &draft.inlines)?;
    files("attachments", &draft.attachments)
}

fn address(property: &str, address: &Address) -> Result<(), Invalid> {
    line(&format!("{property}.name"), address.name.as_deref().unwrap_or_default())?;
    line(&format!("{property}.address"), &address.address)
}

fn files(property: &str, files: &[DraftFile]) -> Result<(), Invalid> {
    for (at, file) in files.iter().enumerate() {
        line(&format!("{property}[{at}].name"), &file.name)?;
        line(&format!("{property}[{at}].contentType"), &file.media_type)?;
        let content_id = file.content_id.as_deref().unwrap_or_default();
        line(&format!("{property}[{at}].contentId"), content_id)?;
    }
    Ok(())
}

fn line(property: &str, value: &str) -> Result<(), Invalid> {
    if value.contains(['\r', '\n', '\0']) {
        return Err(Invalid::new(property, "has a line break or NUL"));
    }
    Ok(())
}
