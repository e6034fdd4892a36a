//! The chart of `docs/performance.md`: for each course a bar from the line of its reference to where we are, and a tick
//! for each of the others. The scale is logarithmic, since twice as fast is as far from equal as half as fast.

use super::summary::{CourseSummary, Row, Summary};

/// What a bar stands for.
struct Bar {
    label: String,
    /// Who the line is.
    reference: String,
    ours: f64,
    others: Vec<f64>,
}

/// Widths and heights, in units of the drawing.
const LEFT: f64 = 360.0;
const WIDTH: f64 = 380.0;
const RIGHT: f64 = 240.0;
const TOP: f64 = 56.0;
const PITCH: f64 = 22.0;

/// Colours that are told apart by those who see few, on light and on dark.
const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.head { font-weight: 600 }
.faint { fill: #59636e }
.by { font-weight: 400 }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.line { stroke: #1f2328; stroke-width: 1.5 }
.more { fill: #0a7d6c }
.less { fill: #c4581a }
.other { stroke: #818b98; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.faint { fill: #9198a1 }
.grid { stroke: #3d444d }
.line { stroke: #f0f6fc }
.more { fill: #3fb8a3 }
.less { fill: #f0883e }
.other { stroke: #9198a1 }
}";

pub(crate) fn draw(groups: &[Summary]) -> String {
    let sections: Vec<_> =
        groups.iter().map(|group| (group, bars(group))).filter(|(_, bars)| !bars.is_empty()).collect();
    let scale = Scale::over(sections.iter().flat_map(|(_, bars)| bars));
    let lines: usize = sections.iter().map(|(_, bars)| bars.len() + 1).sum();
    let (width, height) = (LEFT + WIDTH + RIGHT, TOP + lines as f64 * PITCH + 12.0);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"hullo's ratio to the reference of each group\">\n<style>\n{STYLE}\n</style>\n"
    );
    text += &legend();
    text += &scale.grid(height);
    let mut y = TOP;
    for (group, bars) in &sections {
        let by = if group.by_work { "work per CPU-second" } else { "rate" };
        text += &format!(
            "<text class=\"head\" x=\"8\" y=\"{:.0}\">{}<tspan class=\"faint by\" dx=\"8\">{by}</tspan></text>\n",
            y + 15.0,
            escaped(&group.title)
        );
        y += PITCH;
        for bar in bars {
            text += &scale.bar(bar, y);
            y += PITCH;
        }
    }
    text + "</svg>\n"
}

fn legend() -> String {
    let end = LEFT + WIDTH;
    format!(
        "<text class=\"faint\" x=\"8\" y=\"18\">hullo beside the reference of each row, which is the line at 1</text>\n\
         <text class=\"faint\" x=\"{:.0}\" y=\"18\">ticks: the others</text>\n",
        end + 12.0
    )
}

fn bars(group: &Summary) -> Vec<Bar> {
    group.courses.iter().flat_map(|course| course_bars(group, course)).collect()
}

/// One bar for each row of ours, beside the first that could be measured.
fn course_bars(group: &Summary, course: &CourseSummary) -> Vec<Bar> {
    let judged = |row: &Row| if group.by_work { row.work_ratio } else { row.ratio }.map(|spread| spread.middle);
    let rows: Vec<_> = course.rows.iter().filter(|row| row.trouble.is_none()).collect();
    let Some(first) = rows.first() else { return Vec::new() };
    let is_ours = |row: &&&Row| row.name.starts_with("hullo");
    let others: Vec<_> = rows.iter().skip(1).filter(|row| !is_ours(row)).filter_map(|row| judged(row)).collect();
    let ours = rows.iter().filter(is_ours).filter_map(|row| Some((row, judged(row)?)));
    ours.map(|(row, ours)| Bar {
        // Generators are all on one course, and their own names tell them apart.
        label: if group.generators { row.name.clone() } else { course.name.clone() },
        reference: first.name.clone(),
        ours,
        others: others.clone(),
    })
    .collect()
}

/// Powers of two, from the smallest that is needed to the largest.
struct Scale {
    low: i32,
    high: i32,
}

impl Scale {
    /// At least from a half to twice.
    fn over<'a>(bars: impl Iterator<Item = &'a Bar>) -> Self {
        let all = bars.flat_map(|bar| bar.others.iter().chain([&bar.ours]));
        let powers: Vec<_> = all.filter(|ratio| **ratio > 0.0).map(|ratio| ratio.log2()).collect();
        let low = powers.iter().fold(-1.0, |low: f64, power| low.min(*power));
        let high = powers.iter().fold(1.0, |high: f64, power| high.max(*power));
        // Who is further behind than a sixteenth is at the edge.
        Self { low: (low.floor() as i32).max(-4), high: high.ceil() as i32 }
    }

    fn x(&self, ratio: f64) -> f64 {
        let share = (ratio.max(f64::MIN_POSITIVE).log2() - f64::from(self.low)) / f64::from(self.high - self.low);
        LEFT + share.clamp(0.0, 1.0) * WIDTH
    }

    fn grid(&self, height: f64) -> String {
        let mut text = String::new();
        for power in self.low..=self.high {
            let x = self.x(2_f64.powi(power));
            let class = if power == 0 { "line" } else { "grid" };
            let label = if power < 0 { format!("1/{}", 1 << -power) } else { (1 << power).to_string() };
            text += &format!(
                "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.0}\" y2=\"{:.0}\"/>\n\
                 <text class=\"faint\" x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{label}</text>\n",
                TOP - 8.0,
                height - 8.0,
                TOP - 14.0
            );
        }
        text
    }

    fn bar(&self, bar: &Bar, y: f64) -> String {
        let (line, end, middle) = (self.x(1.0), self.x(bar.ours), y + 15.0);
        let class = if bar.ours < 1.0 { "less" } else { "more" };
        let mut text = format!(
            "<text x=\"{:.0}\" y=\"{middle:.0}\" text-anchor=\"end\">{}</text>\n\
             <rect class=\"{class}\" x=\"{:.1}\" y=\"{:.0}\" width=\"{:.1}\" height=\"12\" rx=\"2\"/>\n",
            LEFT - 12.0,
            escaped(&bar.label),
            line.min(end),
            y + 5.0,
            (end - line).abs().max(1.5),
        );
        for other in &bar.others {
            let x = self.x(*other);
            text += &format!(
                "<line class=\"other\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.0}\" y2=\"{:.0}\"/>\n",
                y + 3.0,
                y + 19.0
            );
        }
        text + &format!(
            "<text x=\"{:.0}\" y=\"{middle:.0}\">{:.2} x {}</text>\n",
            LEFT + WIDTH + 12.0,
            bar.ours,
            escaped(&bar.reference)
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(ours: f64, others: &[f64]) -> Bar {
        Bar { label: "a & b".to_owned(), reference: "C".to_owned(), ours, others: others.to_vec() }
    }

    #[test]
    fn the_scale_holds_all_and_never_less_than_a_half_to_twice() {
        let scale = Scale::over([bar(1.0, &[])].iter());
        assert_eq!((scale.low, scale.high), (-1, 1));
        assert_eq!(scale.x(1.0), LEFT + WIDTH / 2.0);
        let scale = Scale::over([bar(9.0, &[0.3, 0.001])].iter());
        assert_eq!((scale.low, scale.high), (-4, 4));
        assert_eq!((scale.x(0.001), scale.x(16.0)), (LEFT, LEFT + WIDTH));
    }

    #[test]
    fn a_bar_goes_from_the_line_to_us() {
        let scale = Scale { low: -1, high: 1 };
        let slower = scale.bar(&bar(0.5, &[2.0]), 0.0);
        assert!(slower.contains(&format!("x=\"{LEFT:.1}\"")) && slower.contains("width=\"190.0\""), "{slower}");
        assert!(slower.contains("class=\"less\"") && slower.contains("a &amp; b"), "{slower}");
        assert!(slower.contains("0.50 x C"), "{slower}");
        assert!(scale.bar(&bar(2.0, &[]), 0.0).contains("class=\"more\""));
    }
}
