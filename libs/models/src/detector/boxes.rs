//! From scores of every place to the few things that a picture shows.

use tch::{Kind, Tensor};

use crate::error::GenerateError;

/// Scores below this are not reported: the network has some for everything.
pub const MIN_SCORE: f32 = 0.2;
/// Boxes of one class that share more than this of what they cover together are one thing.
const SAME_THING: f32 = 0.45;
/// Most places of a class that are looked at, the surest first.
const MAX_PLACES: usize = 300;

/// Something that a picture shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// What it is, an index into [`super::Detector::labels`].
    pub class: usize,
    /// How sure that is, from [`MIN_SCORE`] to 1.
    pub score: f32,
    /// Left, top, width and height in pixels of the picture; it may reach beyond the picture.
    pub rectangle: [f32; 4],
}

/// What `[4 + classes, boxes]` show, the surest first; `scale` is from the network's pixels to the
/// picture's.
///
/// Classes know nothing of each other: the same place may be reported as two of them.
///
/// # Errors
/// From libtorch.
pub(super) fn decode(predictions: &Tensor, scale: f32) -> Result<Vec<Detection>, GenerateError> {
    let rows = rows(predictions)?;
    let Some((rectangles, scores)) = rows.split_at_checked(4) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for (class, scores) in scores.iter().enumerate() {
        let places = scores.iter().enumerate();
        let mut places: Vec<Detection> = places
            .filter(|&(_, &score)| score >= MIN_SCORE)
            .map(|(place, &score)| Detection {
                class,
                score,
                rectangle: rectangle(rectangles, place, scale),
            })
            .collect();
        places.sort_by(|one, other| other.score.total_cmp(&one.score));
        places.truncate(MAX_PLACES);
        found.extend(distinct(&places));
    }
    found.sort_by(|one, other| other.score.total_cmp(&one.score));
    Ok(found)
}

fn rows(predictions: &Tensor) -> Result<Vec<Vec<f32>>, GenerateError> {
    let (rows, columns) = predictions.size2()?;
    let values = predictions.f_contiguous()?.f_view([rows * columns])?;
    let values = Vec::<f32>::try_from(values.f_to_kind(Kind::Float)?)?;
    let columns = usize::try_from(columns).unwrap_or(0).max(1);
    Ok(values.chunks(columns).map(<[f32]>::to_vec).collect())
}

fn rectangle(rows: &[Vec<f32>], place: usize, scale: f32) -> [f32; 4] {
    let mut values = [0.0; 4];
    for (value, row) in values.iter_mut().zip(rows) {
        *value = row.get(place).copied().unwrap_or_default() * scale;
    }
    let [x, y, width, height] = values;
    [x - width / 2.0, y - height / 2.0, width, height]
}

/// The surest of every group that overlaps (greedy non-maximum suppression). `places` are sorted.
fn distinct(places: &[Detection]) -> Vec<Detection> {
    let mut kept: Vec<Detection> = Vec::new();
    for place in places {
        let is_new = |other: &Detection| overlap(&place.rectangle, &other.rectangle) <= SAME_THING;
        if kept.iter().all(is_new) {
            kept.push(*place);
        }
    }
    kept
}

/// What two rectangles share, as a part of what they cover together.
fn overlap(one: &[f32; 4], other: &[f32; 4]) -> f32 {
    let along = |axis: usize| {
        let end = |rectangle: &[f32; 4]| rectangle[axis] + rectangle[axis + 2];
        let shared = end(one).min(end(other)) - one[axis].max(other[axis]);
        shared.max(0.0)
    };
    let shared = along(0) * along(1);
    let covered = one[2] * one[3] + other[2] * other[3] - shared;
    if covered > 0.0 { shared / covered } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns are boxes: centre, size, and the scores of two classes.
    fn decoded(boxes: &[[f32; 6]]) -> Vec<Detection> {
        let count = i64::try_from(boxes.len()).unwrap();
        let table = Tensor::from_slice(boxes.as_flattened()).view([count, 6]);
        decode(&table.transpose(0, 1), 2.0).unwrap()
    }

    #[test]
    fn boxes_are_given_in_pixels_of_the_picture() {
        let found = decoded(&[[10.0, 20.0, 4.0, 6.0, 0.9, 0.1]]);
        let expected = Detection {
            class: 0,
            score: 0.9,
            rectangle: [16.0, 34.0, 8.0, 12.0],
        };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn of_boxes_that_overlap_the_surest_is_kept() {
        let found = decoded(&[
            [10.0, 10.0, 8.0, 8.0, 0.5, 0.0],
            [10.5, 10.0, 8.0, 8.0, 0.8, 0.0],
            [30.0, 10.0, 8.0, 8.0, 0.4, 0.0],
        ]);
        let scores: Vec<f32> = found.iter().map(|it| it.score).collect();
        assert_eq!(scores, [0.8, 0.4]);
    }

    #[test]
    fn a_surer_class_at_the_same_place_hides_no_other() {
        let found = decoded(&[[10.0, 10.0, 8.0, 8.0, 0.3, 0.9]]);
        let classes: Vec<usize> = found.iter().map(|it| it.class).collect();
        assert_eq!(classes, [1, 0]);
    }

    #[test]
    fn what_is_unlikely_is_not_reported() {
        assert!(decoded(&[[10.0, 10.0, 8.0, 8.0, 0.199, 0.0]]).is_empty());
        assert!(decoded(&[]).is_empty());
    }
}
