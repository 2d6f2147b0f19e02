//! Structure: the parts of any bytes lie within them and within one another, the limits hold, and
//! a file that is read through small windows has the same ones.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_mime::ParserLimits;
use postroom_mime::Defects;
use postroom_mime::Slice;
use postroom_mime::Windows;
use postroom_mime::structure;
use std::io::Cursor;

fuzz_target!(|bytes: &[u8]| {
    let limits = ParserLimits {
        depth_max: 5,
        parts_max: 20,
        header_bytes_max: 2000,
        header_fields_max: 30,
        ..ParserLimits::default()
    };
    let mut defects = Defects::default();
    let found = structure::scan(&mut Slice(bytes), &limits, &mut defects).expect("memory");
    assert!(!found.entities.is_empty() && found.entities.len() <= limits.parts_max + 1);
    assert!(found.fields.len() <= limits.header_fields_max);
    let mut start = 0;
    for entity in &found.entities {
        assert!(entity.header.start >= start && entity.header.end == entity.body.start);
        assert!(entity.header.start <= entity.header.end && entity.body.start <= entity.body.end);
        assert!(entity.body.end <= bytes.len() as u64 && entity.depth <= limits.depth_max);
        start = entity.header.start;
        if let Some(parent) = entity.parent {
            let parent = &found.entities[parent];
            assert!(parent.body.start <= entity.header.start && parent.has_parts);
            assert!(entity.body.end <= parent.body.end.max(entity.body.start));
        }
    }
    let mut windows = Windows::with_read_bytes(Cursor::new(bytes), 7).expect("memory");
    let mut defects_of_windows = Defects::default();
    let read = structure::scan(&mut windows, &limits, &mut defects_of_windows).expect("memory");
    assert_eq!(found.fields, read.fields);
    let place = |entity: &structure::MimeEntity| (entity.header.clone(), entity.body.clone());
    assert!(found.entities.iter().map(place).eq(read.entities.iter().map(place)));
    assert_eq!(defects.into_list(), defects_of_windows.into_list());
});
