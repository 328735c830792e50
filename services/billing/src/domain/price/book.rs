//! What a price book may say.

use super::Prices;
use crate::domain::refusal::Refusal;

const MAX_MODELS: usize = 200;
const MAX_SIZES: usize = 50;
const MAX_NAME: usize = 128;
const MAX_FACTOR: u32 = 1_000_000;

/// The largest frame that work may have.
const MAX_PIXELS: u64 = 65_536 * 65_536;

impl Prices {
    /// Passes when every clip has a price by it.
    ///
    /// # Errors
    /// [`Refusal::PriceBookInvalid`] with the first field that is wrong.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.models.is_empty() || self.models.len() > MAX_MODELS {
            return Err(wrong("models", "has 1 to 200 entries"));
        }
        for (index, model) in self.models.iter().enumerate() {
            let at = |field: &str| format!("models[{index}].{field}");
            let is_last = index + 1 == self.models.len();
            check_name(&model.model, is_last).map_err(|problem| wrong(at("model"), problem))?;
            check_factor(model.price).map_err(|problem| wrong(at("price"), problem))?;
            if model.sizes.len() > MAX_SIZES {
                return Err(wrong(at("sizes"), "has at most 50 entries"));
            }
            let mut below = 0;
            for size in &model.sizes {
                if size.up_to_pixels <= below || size.up_to_pixels > MAX_PIXELS {
                    let problem = "grows from class to class, up to 4294967296";
                    return Err(wrong(at("sizes.up_to_pixels"), problem));
                }
                below = size.up_to_pixels;
                check_factor(size.factor).map_err(|problem| wrong(at("sizes.factor"), problem))?;
            }
        }
        let factors = [
            ("interactive", self.interactive),
            ("batch", self.batch),
            ("audio", self.audio),
        ];
        for (field, factor) in factors {
            check_factor(factor).map_err(|problem| wrong(field, problem))?;
        }
        Ok(())
    }
}

/// The last one alone is for all models, or those before would never be looked at.
fn check_name(name: &str, is_last: bool) -> Result<(), &'static str> {
    if (name == "*") != is_last {
        return Err("is `*` for the last model, and for no other");
    }
    let beginning = name.strip_suffix('*').unwrap_or(name);
    let is_legal = |c: char| c.is_ascii_graphic() && c != '*';
    if name.is_empty() || name.len() > MAX_NAME || !beginning.chars().all(is_legal) {
        return Err("has 1 to 128 visible characters, and a `*` at its end only");
    }
    Ok(())
}

const fn check_factor(factor: u32) -> Result<(), &'static str> {
    if factor == 0 || factor > MAX_FACTOR {
        return Err("is 1 to 1000000");
    }
    Ok(())
}

fn wrong(field: impl Into<String>, problem: &'static str) -> Refusal {
    Refusal::PriceBookInvalid {
        field: format!("price_book.{}", field.into()),
        problem,
    }
}
