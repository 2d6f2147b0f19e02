//! Whether the disk of the server has space. A small batch does not show that, because it may find
//! its space in pages that exist.

use crate::database::Statement;

/// A batch of so many bytes needs space of the disk.
const SPACE_BYTES: usize = 256 * 1024;

/// Whether a batch of so many bytes shows that there is space.
pub(crate) fn is_needed(batch_bytes: usize) -> bool {
    batch_bytes >= SPACE_BYTES
}

/// A batch that finds out, where nobody writes anything large. It leaves nothing behind.
pub(crate) fn probe() -> Vec<Statement> {
    let noise = std::iter::repeat_with(|| fastrand::u8(..)).take(SPACE_BYTES);
    let put = "INSERT INTO \"meta\" (\"name\", \"bytes\") VALUES ('probe', $1)
        ON CONFLICT (\"name\") DO UPDATE SET \"bytes\" = excluded.\"bytes\"";
    let put = Statement::new(put).bind(noise.collect::<Vec<u8>>());
    vec![put, Statement::new("DELETE FROM \"meta\" WHERE \"name\" = 'probe'")]
}
