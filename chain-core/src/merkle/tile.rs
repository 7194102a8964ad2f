//! Tiles and entry bundles: the layout of `c2sp.org/tlog-tiles`, in which a log is stored and served.
//!
//! A tile of level L holds up to 256 hashes, each over 256^L leaves; a bundle holds up to 256 leaves, each
//! after its length in two big-endian bytes. Full ones never change; the rightmost of each level may be
//! partial, and a partial one is only a name for the first hashes of a later full one.

use super::Subtrees;
use super::node_hash;
use crate::crypto::Digest;

/// Hashes of a full tile, entries of a full bundle.
pub const WIDTH: u64 = 256;
/// Levels of the tree that one tile spans.
pub const HEIGHT: u8 = 8;
/// Highest level a tile may have in a tree of u64 leaves.
pub const LEVEL_MAX: u8 = 7;
/// Longest entry, bytes.
pub const ENTRY_MAX: usize = u16::MAX as usize;

/// Which hashes of the tree: `width` of them from `256·index` on, each over 256^level leaves.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

impl Tile {
    /// A tile by level (0 to 7), index and width (1 to 256); `None` when out of bounds.
    pub fn new(level: u8, index: u64, width: u16) -> Option<Self> {
        let fits = level <= LEVEL_MAX
            && (1..=WIDTH).contains(&u64::from(width))
            && index <= (u64::MAX >> (u32::from(level + 1) * 8).min(63));
        fits.then_some(Self { level, index, width })
    }

    /// The tile at this place as a tree of `size` leaves has it; `None` when that tree has none there.
    pub fn of_size(level: u8, index: u64, size: u64) -> Option<Self> {
        if level > LEVEL_MAX {
            return None;
        }
        let hashes = size >> (u32::from(level) * 8);
        let width = hashes.checked_sub(index.checked_mul(WIDTH)?)?.min(WIDTH);
        Self::new(level, index, u16::try_from(width).ok()?)
    }

    /// Every tile that a tree of `new` leaves has and one of `old` leaves has not, or has less wide; bottom
    /// level first. What a log stores after it grew.
    pub fn grown(old: u64, new: u64) -> Vec<Self> {
        let mut tiles = Vec::new();
        for level in 0..=LEVEL_MAX {
            let shift = u32::from(level) * 8;
            let (before, after) = (old >> shift, new >> shift);
            if before < after {
                let range = before / WIDTH..=(after - 1) / WIDTH;
                tiles.extend(range.filter_map(|index| Self::of_size(level, index, new)));
            }
        }
        tiles
    }

    /// Level: each hash spans 256^level leaves.
    pub const fn level(&self) -> u8 {
        self.level
    }

    /// Position within the level.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// Hashes in it, 1 to 256.
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// Whether it holds 256 hashes and will never change.
    pub const fn is_full(&self) -> bool {
        self.width as u64 == WIDTH
    }

    /// Its path: `tile/<L>/<N>`, with `.p/<W>` when partial.
    pub fn path(&self) -> String {
        format!("tile/{}/{}", self.level, place(self.index, self.width))
    }

    /// The tile of a path, in its one spelling; `None` for anything else.
    pub fn from_path(path: &str) -> Option<Self> {
        let (level, place) = path.strip_prefix("tile/")?.split_once('/')?;
        let (index, width) = parse_place(place)?;
        Self::new(u8::try_from(decimal(level)?).ok()?, index, width)
    }

    /// Its bytes, read from any source that knows the tree: 32 per hash.
    ///
    /// # Errors
    /// When the source fails.
    pub fn read<S: Subtrees>(&self, source: &S) -> Result<Vec<u8>, S::Error> {
        let mut bytes = Vec::with_capacity(usize::from(self.width) * Digest::LEN);
        for at in 0..u64::from(self.width) {
            let hash = source.subtree(self.level * HEIGHT, self.index * WIDTH + at)?;
            bytes.extend_from_slice(hash.as_bytes());
        }
        Ok(bytes)
    }
}

/// Which leaves: `width` of them from `256·index` on.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Bundle {
    index: u64,
    width: u16,
}

/// Bytes that are no bundle.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BundleError {
    /// An entry is longer than two bytes can say.
    #[error("entry {at} has {got} bytes, at most {ENTRY_MAX}")]
    TooLong {
        /// Position in the bundle.
        at: usize,
        /// Its length.
        got: usize,
    },
    /// Another number of entries than the width says.
    #[error("{got} entries, wanted {want}")]
    Count {
        /// Entries found.
        got: usize,
        /// The width.
        want: u16,
    },
    /// The bytes end inside an entry.
    #[error("the bundle ends inside entry {0}")]
    Truncated(usize),
}

impl Bundle {
    /// A bundle by index and width (1 to 256); `None` when out of bounds.
    pub fn new(index: u64, width: u16) -> Option<Self> {
        Tile::new(0, index, width).map(|tile| Self { index: tile.index, width: tile.width })
    }

    /// The bundle at this place as a log of `size` leaves has it; `None` when that log has none there.
    pub fn of_size(index: u64, size: u64) -> Option<Self> {
        Tile::of_size(0, index, size).map(|tile| Self { index, width: tile.width })
    }

    /// Position.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// Entries in it, 1 to 256.
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// Indices of its leaves in the log.
    pub fn leaves(&self) -> std::ops::Range<u64> {
        let begin = self.index * WIDTH;
        begin..begin + u64::from(self.width)
    }

    /// Its path: `tile/entries/<N>`, with `.p/<W>` when partial.
    pub fn path(&self) -> String {
        format!("tile/entries/{}", place(self.index, self.width))
    }

    /// The bundle of a path, in its one spelling; `None` for anything else.
    pub fn from_path(path: &str) -> Option<Self> {
        let (index, width) = parse_place(path.strip_prefix("tile/entries/")?)?;
        Self::new(index, width)
    }

    /// The bundle's bytes.
    ///
    /// # Errors
    /// When the number of entries is not the width, or one is longer than [`ENTRY_MAX`].
    pub fn encode<L: AsRef<[u8]>>(&self, entries: &[L]) -> Result<Vec<u8>, BundleError> {
        if entries.len() != usize::from(self.width) {
            return Err(BundleError::Count { got: entries.len(), want: self.width });
        }
        let mut bytes = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            let entry = entry.as_ref();
            let length =
                u16::try_from(entry.len()).map_err(|_| BundleError::TooLong { at, got: entry.len() })?;
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(entry);
        }
        Ok(bytes)
    }

    /// The entries in a bundle's bytes.
    ///
    /// # Errors
    /// When the bytes end inside an entry, or hold more or fewer entries than the width.
    pub fn decode<'a>(&self, bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, BundleError> {
        let mut entries = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            if entries.len() == usize::from(self.width) {
                return Err(BundleError::Count { got: entries.len() + 1, want: self.width });
            }
            let truncated = BundleError::Truncated(entries.len());
            let (length, after) = rest.split_first_chunk::<2>().ok_or(truncated)?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (entry, after) = after.split_at_checked(length).ok_or(truncated)?;
            entries.push(entry);
            rest = after;
        }
        if entries.len() == usize::from(self.width) {
            return Ok(entries);
        }
        Err(BundleError::Count { got: entries.len(), want: self.width })
    }
}

/// Subtree hashes out of stored tiles: one tile read each.
#[derive(Clone, Copy, Debug)]
pub struct Tiles<F> {
    size: u64,
    read: F,
}

/// Why a hash cannot be had from tiles.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TileError<E> {
    /// The tree is smaller than the subtree asked for.
    #[error("subtree {index} of level {level} is not in the tree")]
    Outside {
        /// Level of the subtree.
        level: u8,
        /// Its index.
        index: u64,
    },
    /// A tile has another length than its width says.
    #[error("{path} has {got} bytes")]
    Length {
        /// The tile.
        path: TilePath,
        /// Bytes found.
        got: usize,
    },
    /// The store failed.
    #[error("tile cannot be read")]
    Read(E),
}

/// A tile that prints as its path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TilePath(pub Tile);

impl std::fmt::Display for TilePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.path())
    }
}

impl<F, B, E> Tiles<F>
where
    F: Fn(Tile) -> Result<B, E>,
    B: AsRef<[u8]>,
{
    /// Tiles of a tree of `size` leaves. `read` is asked for tiles as wide as that tree has them; it may
    /// answer with the beginning of a wider one.
    pub fn new(size: u64, read: F) -> Self {
        Self { size, read }
    }
}

impl<F, B, E> Subtrees for Tiles<F>
where
    F: Fn(Tile) -> Result<B, E>,
    B: AsRef<[u8]>,
{
    type Error = TileError<E>;

    fn subtree(&self, level: u8, index: u64) -> Result<Digest, TileError<E>> {
        let outside = TileError::Outside { level, index };
        let (tile_level, height) = (level / HEIGHT, level % HEIGHT);
        let first = index << height;
        if first >> height != index {
            return Err(outside);
        }
        let tile = Tile::of_size(tile_level, first / WIDTH, self.size).ok_or(outside)?;
        let within = (first % WIDTH, first % WIDTH + (1 << height));
        if within.1 > u64::from(tile.width) {
            return Err(TileError::Outside { level, index });
        }
        let bytes = (self.read)(tile).map_err(TileError::Read)?;
        let bytes = bytes.as_ref();
        if bytes.len() != usize::from(tile.width) * Digest::LEN {
            return Err(TileError::Length { path: TilePath(tile), got: bytes.len() });
        }
        let (hashes, _) = bytes.as_chunks::<32>();
        #[expect(clippy::cast_possible_truncation, reason = "at most 256")]
        let mut hashes: Vec<Digest> =
            hashes[within.0 as usize..within.1 as usize].iter().map(|hash| Digest::new(*hash)).collect();
        while hashes.len() > 1 {
            hashes = hashes.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
        }
        Ok(hashes[0])
    }
}

/// `<N>[.p/<W>]`: three digits per path element, all but the last after an `x`.
fn place(index: u64, width: u16) -> String {
    let mut text = format!("{:03}", index % 1_000);
    let mut rest = index / 1_000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1_000);
        rest /= 1_000;
    }
    if u64::from(width) == WIDTH { text } else { format!("{text}.p/{width}") }
}

fn parse_place(text: &str) -> Option<(u64, u16)> {
    #[expect(clippy::cast_possible_truncation, reason = "256 fits")]
    let (number, width) = match text.split_once(".p/") {
        None => (text, WIDTH as u16),
        Some((number, width)) => (number, u16::try_from(decimal(width)?).ok().filter(|&width| width < 256)?),
    };
    let mut index: u64 = 0;
    let mut elements = number.split('/').peekable();
    while let Some(element) = elements.next() {
        let digits = if elements.peek().is_some() { element.strip_prefix('x')? } else { element };
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        index = index.checked_mul(1_000)?.checked_add(digits.parse().ok()?)?;
    }
    // Leading zero groups would be a second spelling.
    (place(index, width) == text).then_some((index, width))
}

/// An ASCII decimal without sign or leading zeroes.
fn decimal(text: &str) -> Option<u64> {
    let value = text.parse::<u64>().ok()?;
    (value.to_string() == text).then_some(value)
}
