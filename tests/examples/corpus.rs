//! Writes the valid samples of every wire type to `tests/fuzz/corpus/`, one folder per fuzz target.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for one in city_tests::wire::TYPES {
        let folder = corpus.join(city_tests::wire::target_of(one.name));
        std::fs::create_dir_all(&folder)?;
        for sample in (one.samples)() {
            std::fs::write(folder.join(sample.name.replace(' ', "-")), sample.bytes)?;
        }
    }
    println!("wrote {}", corpus.display());
    Ok(())
}
