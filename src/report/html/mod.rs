//! The report as one page: no script, nothing from the network, light and dark, for desk and phone.

mod classes;
mod headline;
mod integers;
mod layers;
mod page;
mod quality;
mod run;
mod sweep;

pub(crate) use headline::{cards, percentiles};
pub use integers::quantize_html;
pub(crate) use layers::where_time_goes;
pub(crate) use page::{Cell, Page};
pub(crate) use quality::class_by_class;
pub(crate) use run::{again, first_result, held_by};
pub use sweep::sweep_html;
pub(crate) use sweep::sweep_section;

use super::{Format, Summary};

/// One self-contained HTML file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Html;

impl Format for Html {
    fn name(&self) -> &'static str {
        "html"
    }

    fn render(&self, summary: &Summary) -> Result<String, String> {
        write(summary).map_err(|error| error.to_string())
    }
}

fn write(summary: &Summary) -> Result<String, std::fmt::Error> {
    let mut page = Page::new(&format!("onnx-prune: {}", summary.model.path.display()))?;
    headline::write(&mut page, [&summary.model, &summary.output], &summary.warnings, &summary.figures())?;
    quality::write(&mut page, summary)?;
    integers::write(&mut page, summary.quantized.as_ref())?;
    layers::write(&mut page, summary)?;
    classes::write(&mut page, summary)?;
    run::write(&mut page, summary)?;
    Ok(page.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::{bare, full, quantize_summary, quantized};

    /// Every tag that is opened is closed, in order.
    fn balanced(page: &str) {
        const VOID: [&str; 4] = ["meta", "br", "link", "!doctype"];
        let mut open = Vec::new();
        for part in page.split('<').skip(1) {
            let (tag, _) = part.split_once('>').unwrap();
            let name = tag.split([' ', '/']).find(|word| !word.is_empty()).unwrap().to_lowercase();
            if tag.starts_with('/') {
                assert_eq!(open.pop().as_deref(), Some(name.as_str()), "{tag}");
            } else if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn pages_are_whole() {
        for summary in [bare(), full()] {
            balanced(&Html.render(&summary).unwrap());
        }
    }

    #[test]
    fn integers_have_a_section_and_a_page() {
        let page = quantize_html(&quantize_summary()).unwrap();
        balanced(&page);
        assert!(page.contains("ranges by mse") && page.contains("integers lose &lt;much&gt;"));
        let page = Html.render(&Summary { quantized: Some(quantized()), ..full() }).unwrap();
        balanced(&page);
        assert!(page.contains("24 of 27 operators on integers"));
    }

    #[test]
    fn sections_without_data_are_left_out() {
        let page = Html.render(&bare()).unwrap();
        for title in ["Class by class", "Integers", "How the classes are related", "What was tried", "Warnings"] {
            assert!(!page.contains(title), "{title}");
        }
        let page = Html.render(&full()).unwrap();
        assert!(page.contains("What was tried") && page.contains("cannot be reached"));
    }

    #[test]
    fn names_are_text() {
        let mut summary = full();
        let name = "<script>alert('x')</script>\"&\u{1b}[31m";
        summary.groups[0].name = name.into();
        summary.model.path = name.into();
        summary.protected[0].reasons[0] = name.into();
        let page = Html.render(&summary).unwrap();
        assert!(!page.contains("<script") && !page.contains('\u{1b}'));
        assert!(page.contains("&lt;script&gt;"));
        balanced(&page);
    }
}
