//! Files that domains offer to mail programs: whatever comes, a server has a name and a port.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_model::autoconfig_file::AutoconfigFile;
use postroom_model::autoconfig_server::host_problem;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = AutoconfigFile::read(bytes, "anna@shop.test") else {
        return;
    };
    for server in [file.imap, file.smtp].into_iter().flatten() {
        assert_eq!(host_problem(&server.host), None);
        assert!(server.port != 0);
        let login = server.login.unwrap_or_default();
        assert!(!login.contains('%') && !login.chars().any(char::is_control));
    }
});
