//! Charts: the stages of a boot, and the trend of a value over several runs.

use super::words;
use crate::boot::StageTime;
use crate::imagetest::StepOutcome;
use maud::{Markup, html};

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 28.0;

/// A boot as a bar with one colour per stage. `longest` is the duration that fills the width, so that bars can be
/// compared.
pub(super) fn stages(stages: &[StageTime], longest: f64) -> Markup {
    let scale = WIDTH / longest.max(0.1);
    let total: f64 = stages.iter().map(|time| time.took).sum();
    html! {
        svg class="stages" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" {
            title { "stages of " (words::seconds(total)) }
            @for time in stages {
                rect class={ "stage " (time.stage) } x=(format!("{:.1}", time.at * scale)) y="0"
                    width=(format!("{:.1}", (time.took * scale).max(1.0))) height=(HEIGHT) {
                    title { (time.stage) ": " (words::seconds(time.took)) }
                }
            }
        }
    }
}

/// A value of a trend.
pub(super) struct Point {
    pub value: f64,
    pub outcome: StepOutcome,
    pub title: String,
}

const TREND_WIDTH: f64 = 160.0;
const TREND_HEIGHT: f64 = 32.0;
const EDGE: f64 = 4.0;

/// A line chart over several runs, with a scale that starts at zero. Runs that did not pass are marked.
pub(super) fn trend(points: &[Point]) -> Markup {
    let most = points.iter().map(|point| point.value).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let step = (TREND_WIDTH - 2.0 * EDGE) / (points.len().max(2) - 1) as f64;
    let place = |index: usize, point: &Point| {
        (EDGE + step * index as f64, TREND_HEIGHT - EDGE - (TREND_HEIGHT - 2.0 * EDGE) * point.value / most)
    };
    let line: Vec<String> = points
        .iter()
        .enumerate()
        .map(|(index, point)| {
            let (x, y) = place(index, point);
            format!("{x:.1},{y:.1}")
        })
        .collect();
    html! {
        svg class="trend" viewBox={ "0 0 " (TREND_WIDTH) " " (TREND_HEIGHT) } role="img" {
            title { (points.len()) " runs" }
            polyline points=(line.join(" ")) {}
            @for (index, point) in points.iter().enumerate() {
                @let (x, y) = place(index, point);
                circle class=(point.outcome.name()) cx=(format!("{x:.1}")) cy=(format!("{y:.1}"))
                    r=(if point.outcome == StepOutcome::Passed { "1.5" } else { "3" }) {
                    title { (point.title) }
                }
            }
        }
    }
}
