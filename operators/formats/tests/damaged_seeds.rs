//! The seeds of the fuzz targets, whole and damaged, through the properties of their codecs.

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

#[path = "properties/codecs.rs"]
mod properties;
use properties::CODECS;

/// The seeds of a codec, sorted by name.
fn seeds(codec: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(codec);
    let entries = std::fs::read_dir(&folder).expect("a folder of seeds");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a seed")).collect()
}

#[test]
fn every_codec_has_seeds_that_hold() {
    for codec in CODECS {
        let seeds = seeds(codec.name);
        assert!(!seeds.is_empty(), "{}", codec.name);
        for (i, seed) in seeds.iter().enumerate() {
            assert!((codec.check)(seed), "{}: seed {i} is no file of the format", codec.name);
        }
    }
    assert!(CODECS.is_sorted_by_key(|codec| codec.name));
    assert!(CODECS.iter().all(|codec| codec.most_bytes(0) < codec.most_bytes(1)));
}

#[test]
fn damaged_seeds_hold() {
    let config =
        ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    for codec in CODECS {
        let seeds = seeds(codec.name);
        let strategy = (
            prop::sample::select(seeds),
            vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            any::<prop::sample::Index>(),
            prop::bool::weighted(0.3),
        );
        let mut runner = TestRunner::new(config.clone());
        let outcome = runner.run(&strategy, |(mut bytes, hits, cut, is_cut)| {
            for (place, value) in &hits {
                let place = place.index(bytes.len());
                bytes[place] = *value;
            }
            if is_cut {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            (codec.check)(&bytes);
            Ok(())
        });
        outcome.unwrap_or_else(|fault| panic!("{}: {fault}", codec.name));
    }
}

#[test]
fn arbitrary_bytes_hold() {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&vec(any::<u8>(), 0..300), |bytes| {
        for codec in CODECS {
            (codec.check)(&bytes);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|fault| panic!("{fault}"));
}
