//! Pages of a list: where the next one begins, tied to what was asked for.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

const ID_BYTES: usize = 16;
const TAG_BYTES: usize = 16;

/// What of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The last id of the page before. None for the first page.
    pub after: Option<Uuid>,
    /// Rows at most.
    pub limit: u64,
    scope: [u8; TAG_BYTES],
}

/// A page that cannot be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// The size is below 0.
    #[error("a page cannot have a negative size")]
    NegativeSize,
    /// The token is not from an earlier answer, or from one of another list.
    #[error("the page token is not from an earlier answer")]
    Token,
}

/// How many rows a list shows at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// When nothing is said.
    pub usual: u64,
    /// At most.
    pub most: u64,
}

impl Page {
    /// Reads a page size (0 means the usual one, more than the most means the most) and a token. `scope` is what the list is
    /// of: who asks and the filter. A token is good for its own scope; that guards against mistakes, every query checks who
    /// asks.
    ///
    /// # Errors
    /// [`PageError`].
    pub fn of(
        sizes: Sizes,
        scope: &[&str],
        size: impl Into<i64>,
        token: &str,
    ) -> Result<Self, PageError> {
        let size = u64::try_from(size.into()).map_err(|_| PageError::NegativeSize)?;
        let limit = if size == 0 {
            sizes.usual
        } else {
            size.min(sizes.most)
        };
        let scope = tag(scope);
        let after = parse(token, scope)?;
        Ok(Self {
            after,
            limit,
            scope,
        })
    }

    /// How many rows to read: one more than are shown tells whether there is another page.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.limit + 1
    }

    /// Cuts what was read to the page, and makes the token of the next one; empty when there is none.
    #[must_use]
    pub fn cut<T>(&self, mut rows: Vec<T>, id: impl Fn(&T) -> Uuid) -> (Vec<T>, String) {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let token = match rows.last() {
            Some(last) if has_more => self.token_after(id(last)),
            _ => String::new(),
        };
        (rows, token)
    }

    /// The token of a page that begins after an id, whether that is shown or not.
    #[must_use]
    pub fn token_after(&self, id: Uuid) -> String {
        URL_SAFE_NO_PAD.encode([id.as_bytes().as_slice(), &self.scope].concat())
    }
}

fn parse(token: &str, scope: [u8; TAG_BYTES]) -> Result<Option<Uuid>, PageError> {
    if token.is_empty() {
        return Ok(None);
    }
    if token.len() > 2 * (ID_BYTES + TAG_BYTES) {
        return Err(PageError::Token);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token);
    let bytes = bytes.map_err(|_| PageError::Token)?;
    let (id, given) = bytes.split_at_checked(ID_BYTES).ok_or(PageError::Token)?;
    if given != scope {
        return Err(PageError::Token);
    }
    let id = Uuid::from_slice(id).map_err(|_| PageError::Token)?;
    Ok(Some(id))
}

/// The parts with their lengths, so that no two scopes read the same.
fn tag(scope: &[&str]) -> [u8; TAG_BYTES] {
    let mut digest = Sha256::new();
    for part in scope {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    let mut tag = [0; TAG_BYTES];
    tag.copy_from_slice(&digest.finalize()[..TAG_BYTES]);
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes {
        usual: 50,
        most: 200,
    };

    fn page(scope: &[&str], size: i32, token: &str) -> Result<Page, PageError> {
        Page::of(SIZES, scope, size, token)
    }

    #[test]
    fn page_sizes_are_bounded() {
        for (size, limit) in [(0, 50), (1, 1), (200, 200), (i32::MAX, 200)] {
            assert_eq!(page(&[], size, "").unwrap().limit, limit);
        }
        let negative = page(&[], -1, "");
        assert_eq!(negative, Err(PageError::NegativeSize));
    }

    #[test]
    fn a_token_goes_on_in_its_own_list_only() {
        let ids = [Uuid::now_v7(), Uuid::now_v7()];
        let first = page(&["anna", "key."], 1, "").unwrap();
        let (shown, token) = first.cut(ids.to_vec(), |id| *id);
        assert_eq!(shown, ids[..1]);
        let second = page(&["anna", "key."], 1, &token).unwrap();
        assert_eq!(second.after, Some(ids[0]));
        assert_eq!(second.cut(vec![ids[1]], |id| *id).1, "");
        assert_eq!(first.token_after(ids[0]), token);
        let long = "A".repeat(100_000);
        for (scope, token) in [
            (["anna", "key"], token.as_str()),
            (["annak", "ey."], &token),
            (["anna", "key."], &token[1..]),
            (["anna", "key."], "AAAA"),
            (["anna", "key."], "not a token"),
            (["anna", "key."], &long),
        ] {
            let refused = page(&scope, 1, token);
            assert_eq!(refused, Err(PageError::Token), "{scope:?}");
        }
    }
}
