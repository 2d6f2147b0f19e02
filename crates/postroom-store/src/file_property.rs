//! How the property of a file is stored.

use postroom_model::Class;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::files;

/// The built-in properties of messages that hold files.
const OF_MESSAGES: [&str; 4] =
    [files::ATTACHMENTS, files::HTML, files::INLINES, files::RAW_MESSAGE];

/// A property of files as it is stored. Entities of two classes may have the same id, so only the
/// built-in properties of messages are stored by their name alone.
pub(crate) fn stored_property(class: &Class, property: &str) -> String {
    if class.classname == MESSAGES && OF_MESSAGES.contains(&property) {
        return property.to_owned();
    }
    format!("{}/{property}", class.id)
}
