use super::tile::{Bundle, BundleError, Tile, TileError, Tiles, WIDTH};
use super::*;
use proptest::prelude::*;
use tlog_tiles::tlog;

fn leaf(index: u64) -> Vec<u8> {
    format!("leaf {index}").into_bytes()
}

fn tree(size: u64) -> Tree {
    Tree::from_leaves((0..size).map(leaf))
}

/// The oracle's tree: all its stored hashes.
struct Oracle(Vec<tlog::Hash>);

impl tlog::HashReader for Oracle {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        Ok(indexes.iter().map(|&index| self.0[usize::try_from(index).unwrap()]).collect())
    }
}

fn oracle(size: u64) -> Oracle {
    let mut oracle = Oracle(Vec::new());
    for index in 0..size {
        let more = tlog::stored_hashes(index, &leaf(index), &oracle).unwrap();
        oracle.0.extend(more);
    }
    oracle
}

fn ours(hashes: &[tlog::Hash]) -> Vec<Digest> {
    hashes.iter().map(|hash| Digest::new(hash.0)).collect()
}

#[test]
fn the_vectors_of_certificate_transparency_hold() {
    // Leaves and roots of the reference tests of RFC 6962 (google/certificate-transparency, merkle tree tests).
    let leaves: [&[u8]; 8] = [
        b"",
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
    ];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    for (size, want) in roots.iter().enumerate() {
        assert_eq!(root(&leaves[..size]).to_string(), *want, "{size} leaves");
    }
}

#[test]
fn every_proof_of_small_trees_verifies_and_equals_the_oracles() {
    let all = tree(70);
    let oracle = oracle(70);
    for size in 1..=70 {
        let root = range_hash(&all, 0, size).unwrap();
        assert_eq!(root, Digest::new(tlog::tree_hash(size, &oracle).unwrap().0), "root of {size}");
        assert_eq!(root, tree(size).root());
        for index in 0..size {
            let path = inclusion_path(&all, index, size).unwrap();
            assert_eq!(
                path.hashes,
                ours(&tlog::prove_record(size, index, &oracle).unwrap()),
                "{index} of {size}"
            );
            assert!(verify_inclusion(&leaf_hash(&leaf(index)), &path, &root), "{index} of {size}");
        }
        for old in 1..=size {
            let path = consistency_path(&all, old, size).unwrap();
            assert_eq!(path, ours(&tlog::prove_tree(size, old, &oracle).unwrap()), "{old} to {size}");
            let old_root = range_hash(&all, 0, old).unwrap();
            assert!(verify_consistency(old, &old_root, size, &root, &path), "{old} to {size}");
        }
    }
}

#[test]
fn positions_outside_the_tree_have_no_path() {
    let all = tree(5);
    assert_eq!(inclusion_path(&all, 5, 5), Err(RangeError::Outside { position: 5, size: 5 }));
    assert_eq!(inclusion_path(&all, 0, 0), Err(RangeError::Outside { position: 0, size: 0 }));
    assert_eq!(consistency_path(&all, 6, 5), Err(RangeError::Outside { position: 6, size: 5 }));
    assert!(tree(0).inclusion(0).is_none());
    assert_eq!(tree(0).root(), empty_root());
}

#[test]
fn the_empty_tree_is_consistent_with_every_tree_and_nothing_else_is() {
    let full = tree(3).root();
    assert!(verify_consistency(0, &empty_root(), 3, &full, &[]));
    assert!(verify_consistency(0, &empty_root(), 0, &empty_root(), &[]));
    assert!(!verify_consistency(0, &full, 3, &full, &[]));
    assert!(!verify_consistency(0, &empty_root(), 0, &full, &[]));
    assert!(!verify_consistency(0, &empty_root(), 3, &full, &[full]));
    assert!(!verify_consistency(3, &full, 2, &full, &[]));
    assert!(!verify_consistency(2, &full, 3, &full, &[]));
    assert!(!verify_consistency(3, &full, u64::MAX, &full, &vec![full; 65]));
}

#[test]
fn reads_grow_with_the_logarithm() {
    struct Counting<'a>(&'a Tree, std::cell::Cell<u32>);
    impl Subtrees for Counting<'_> {
        type Error = Infallible;
        fn subtree(&self, level: u8, index: u64) -> Result<Digest, Infallible> {
            self.1.set(self.1.get() + 1);
            self.0.subtree(level, index)
        }
    }
    let all = tree(4_095);
    for index in [0, 1, 2_047, 2_048, 4_094] {
        let counting = Counting(&all, std::cell::Cell::new(0));
        inclusion_path(&counting, index, 4_095).unwrap();
        assert!(counting.1.get() <= 24, "leaf {index}: {} reads", counting.1.get());
        let counting = Counting(&all, std::cell::Cell::new(0));
        consistency_path(&counting, index + 1, 4_095).unwrap();
        assert!(counting.1.get() <= 36, "from {index}: {} reads", counting.1.get());
    }
}

#[test]
fn the_example_of_tlog_tiles_holds() {
    // c2sp.org/tlog-tiles: a tree of 70,000.
    let tiles = Tile::grown(0, 70_000);
    let of =
        |level, full| tiles.iter().filter(|tile| tile.level() == level && tile.is_full() == full).count();
    assert_eq!(
        [of(0, true), of(0, false), of(1, true), of(1, false), of(2, true), of(2, false)],
        [273, 1, 1, 1, 0, 1]
    );
    let widths: Vec<u16> = tiles.iter().filter(|tile| !tile.is_full()).map(Tile::width).collect();
    assert_eq!(widths, [112, 17, 1]);
    // A tree of 256: one full tile and a partial one above it.
    let paths: Vec<String> = Tile::grown(0, 256).iter().map(Tile::path).collect();
    assert_eq!(paths, ["tile/0/000", "tile/1/000.p/1"]);
    assert_eq!(Tile::new(1, 1_234_067, 256).unwrap().path(), "tile/1/x001/x234/067");
    assert!(Tile::grown(256, 256).is_empty());
}

#[test]
fn a_path_has_one_spelling() {
    for bad in [
        "tile/0/0",
        "tile/0/x000/001",
        "tile/00/001",
        "tile/8/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/05",
        "tile/0/000.p/+5",
        "tile/0/x001",
        "tile/0/001/002",
        "tile/0/000/",
        "tile/-1/000",
        "tile/entries/000",
        "/tile/0/000",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
    ] {
        assert_eq!(Tile::from_path(bad), None, "{bad}");
    }
    assert_eq!(Bundle::from_path("tile/entries/x001/234.p/7"), Bundle::new(1_234, 7));
    assert_eq!(Bundle::from_path("tile/0/000"), None);
}

#[test]
fn bundles_hold_their_width_of_entries() {
    let bundle = Bundle::new(2, 3).unwrap();
    assert_eq!(bundle.leaves(), 512..515);
    let entries: [&[u8]; 3] = [b"a", b"", b"long entry"];
    let bytes = bundle.encode(&entries).unwrap();
    assert_eq!(bytes, b"\x00\x01a\x00\x00\x00\x0along entry");
    assert_eq!(bundle.decode(&bytes).unwrap(), entries);
    assert_eq!(bundle.encode(&entries[..2]), Err(BundleError::Count { got: 2, want: 3 }));
    assert_eq!(bundle.decode(&bytes[..3]), Err(BundleError::Count { got: 1, want: 3 }));
    assert_eq!(bundle.decode(&bytes[..bytes.len() - 1]), Err(BundleError::Truncated(2)));
    assert_eq!(bundle.decode(&[bytes, vec![0, 0]].concat()), Err(BundleError::Count { got: 4, want: 3 }));
    let long = vec![0; 65_536];
    assert_eq!(Bundle::new(0, 1).unwrap().encode(&[long]), Err(BundleError::TooLong { at: 0, got: 65_536 }));
}

#[test]
fn proofs_come_out_of_tiles_alone() {
    let all = tree(700);
    for size in [1, 2, 255, 256, 257, 511, 512, 513, 700] {
        let tiles = Tiles::new(size, |tile: Tile| {
            // As a server stores them: by path, as wide as this tree has them.
            assert_eq!(Tile::from_path(&tile.path()), Some(tile));
            tile.read(&all)
        });
        let root = range_hash(&tiles, 0, size).unwrap();
        assert_eq!(root, range_hash(&all, 0, size).unwrap());
        for index in (0..size).step_by(37) {
            assert_eq!(
                inclusion_path(&tiles, index, size).unwrap(),
                inclusion_path(&all, index, size).unwrap()
            );
            assert_eq!(
                consistency_path(&tiles, index + 1, size).unwrap(),
                consistency_path(&all, index + 1, size).unwrap()
            );
        }
        assert!(matches!(tiles.subtree(0, size), Err(TileError::Outside { .. })));
        assert!(matches!(tiles.subtree(8, size / WIDTH), Err(TileError::Outside { .. })));
    }
    let short = Tiles::new(3, |_| Ok::<_, Infallible>(vec![0; 64]));
    assert!(matches!(short.subtree(0, 0), Err(TileError::Length { got: 64, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn tile_paths_are_those_of_the_oracle(level in 0_u8..7, index in 0_u64..10_000_000_000, width in 1_u16..=256) {
        if let Some(tile) = Tile::new(level, index, width) {
            let theirs = tlog_tiles::Tile::new(8, level, index, u32::from(width), false).path();
            prop_assert_eq!(tile.path(), theirs.replacen("tile/8/", "tile/", 1));
            prop_assert_eq!(Tile::from_path(&tile.path()), Some(tile));
        }
    }

    #[test]
    fn any_proof_of_any_size_equals_the_oracles(size in 1_u64..3_000, at in any::<prop::sample::Index>()) {
        let all = tree(size);
        let oracle = oracle(size);
        let index = at.index(usize::try_from(size).unwrap()) as u64;
        prop_assert_eq!(all.root(), Digest::new(tlog::tree_hash(size, &oracle).unwrap().0));
        let path = all.inclusion(index).unwrap();
        prop_assert_eq!(&path.hashes, &ours(&tlog::prove_record(size, index, &oracle).unwrap()));
        prop_assert!(verify_inclusion(&leaf_hash(&leaf(index)), &path, &all.root()));
        let old = index + 1;
        let path = all.consistency(old).unwrap();
        prop_assert_eq!(&path, &ours(&tlog::prove_tree(size, old, &oracle).unwrap()));
        let old_root = range_hash(&all, 0, old).unwrap();
        prop_assert!(verify_consistency(old, &old_root, size, &all.root(), &path));
    }

    #[test]
    fn an_altered_proof_is_refused(size in 2_u64..400, at in any::<prop::sample::Index>(), bit in 0_usize..256, how in 0_u8..5) {
        let all = tree(size);
        let index = at.index(usize::try_from(size).unwrap()) as u64;
        let leaf = leaf_hash(&leaf(index));
        let good = all.inclusion(index).unwrap();
        let mut bad = good.clone();
        let flip = |digest: &Digest| {
            let mut bytes = *digest.as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            Digest::new(bytes)
        };
        let last = bad.hashes.len() - 1;
        match how {
            0 => bad.hashes[bit % (last + 1)] = flip(&good.hashes[bit % (last + 1)]),
            1 => drop(bad.hashes.pop()),
            2 => bad.hashes.push(good.hashes[0]),
            3 => bad.index ^= 1 << (bit % 10),
            _ => bad.hashes.swap(0, last),
        }
        prop_assume!(bad != good);
        prop_assert!(!verify_inclusion(&leaf, &bad, &all.root()));
        prop_assert!(!verify_inclusion(&flip(&leaf), &good, &all.root()));
        prop_assert!(!verify_inclusion(&leaf, &good, &flip(&all.root())));

        let old = index + 1;
        let old_root = range_hash(&all, 0, old).unwrap();
        let mut path = all.consistency(old).unwrap();
        prop_assert!(!verify_consistency(old, &flip(&old_root), size, &all.root(), &path));
        prop_assert!(!verify_consistency(old, &old_root, size, &flip(&all.root()), &path));
        if path.is_empty() {
            path.push(old_root);
        } else {
            let step = bit % path.len();
            path[step] = flip(&path[step]);
        }
        prop_assert!(!verify_consistency(old, &old_root, size, &all.root(), &path));
    }
}
