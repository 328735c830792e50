//! Models of every family with random weights, in the layouts that people download.

use std::io::Cursor;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};

use crate::repository;

/// A model of random weights.
#[derive(Clone, Copy, Debug)]
pub struct RandomModel {
    /// The family as its cards name it, without `wan-`.
    pub family: &'static str,
    /// `diffusers` or `native`.
    pub layout: &'static str,
    /// Width and height of a clip that says nothing of it, in pixels.
    pub size: [u32; 2],
    /// Whether the family starts from a first frame.
    pub takes_image: bool,
    /// Whether the family ends with a last frame.
    pub takes_last_image: bool,
}

/// What the native layout shares among families, and the goldens that have it.
const TEXT: [&str; 2] = [
    "models_t5_umt5-xxl-enc-bf16.pth",
    "google/umt5-xxl/tokenizer.json",
];
const VAE: &str = "Wan2.1_VAE.pth";
const CLIP: &str = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth";

impl RandomModel {
    /// Every family in both layouts; the layouts of a family hold the same weights.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let families = [
            ("t2v", [32, 32], false, false),
            ("i2v", [48, 32], true, false),
            ("flf2v", [32, 32], true, true),
            ("ti2v", [64, 32], true, false),
        ];
        let of_layout = |layout| {
            families.map(|(family, size, takes_image, takes_last_image)| Self {
                family,
                layout,
                size,
                takes_image,
                takes_last_image,
            })
        };
        [of_layout("diffusers"), of_layout("native")].concat()
    }

    /// One of them by its name.
    #[must_use]
    pub fn named(id: &str) -> Self {
        let mut all = Self::all().into_iter();
        all.find(|model| model.id() == id).unwrap()
    }

    /// A request for a clip, with the pictures that the family takes.
    #[must_use]
    pub fn request(&self, steps: u32) -> Value {
        let [width, height] = self.size;
        let mut request = json!({
            "model": self.id(),
            "prompt": "a red circle moves to the right on black",
            "steps": steps,
            "seed": 7,
        });
        if self.takes_image {
            request["image"] = STANDARD.encode(png(2 * width, 2 * height, 40)).into();
        }
        if self.takes_last_image {
            request["last_image"] = STANDARD.encode(png(width, height, 200)).into();
        }
        request
    }

    /// Its name in requests, such as `i2v-native`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}-{}", self.family, self.layout)
    }

    /// Writes its folder.
    pub fn write(&self, folder: &Path) {
        let goldens = repository().join("libs/models/tests/goldens");
        let diffusers = match self.family {
            "t2v" => goldens.join("pipeline"),
            family => goldens.join(format!("pipeline-{family}")),
        };
        match (self.layout, self.family) {
            ("diffusers", "t2v") => {
                copy_folder(&diffusers, folder);
                copy_folder(&goldens.join("native-twin"), folder);
            }
            ("diffusers", _) => copy_folder(&diffusers, folder),
            (_, "t2v") => copy_folder(&goldens.join("native"), folder),
            (_, family) => {
                copy_folder(&goldens.join(format!("native-{family}")), folder);
                let shared = goldens.join("native");
                for file in TEXT {
                    copy_file(&shared, folder, file);
                }
                if family != "ti2v" {
                    copy_file(&shared, folder, VAE);
                    copy_file(&goldens.join("native-i2v"), folder, CLIP);
                }
            }
        }
        self.write_card(&diffusers, folder);
    }

    fn write_card(&self, from: &Path, folder: &Path) {
        let text = std::fs::read_to_string(from.join("kinora.json")).unwrap();
        let mut card: Value = serde_json::from_str(&text).unwrap();
        card["id"] = self.id().into();
        // The shift is what one layout says in a file and the other takes for granted.
        card["defaults"]["shift"] = 5.0.into();
        card["limits"]["max_steps"] = 600.into();
        std::fs::write(folder.join("kinora.json"), card.to_string()).unwrap();
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn copy_file(from: &Path, to: &Path, file: &str) {
    let target = to.join(file);
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    std::fs::copy(from.join(file), target).unwrap();
}

/// A picture as a PNG: gradients, and a tint of this much blue.
#[must_use]
pub fn png(width: u32, height: u32, blue: u8) -> Vec<u8> {
    let shade = |at: u32, of: u32| u8::try_from(255 * at / of).unwrap();
    let pixel = |x, y| Rgb([shade(x, width), shade(y, height), blue]);
    let mut bytes = Cursor::new(Vec::new());
    let picture = RgbImage::from_fn(width, height, pixel);
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}
