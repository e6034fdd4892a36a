#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
//! The page of `hullo bench --html` in Chromium.

mod common;

use common::{Home, browser::Browser};

/// How many parts of the charts are drawn of that kind.
fn drawn(browser: &mut Browser, selector: &str) -> u64 {
    let parts = format!("[...document.querySelectorAll('{selector}')].filter(part => part.getAttribute('d')).length");
    browser.value(&parts).as_u64().unwrap()
}

fn titles(browser: &mut Browser) -> Vec<String> {
    let titles = browser.value("[...document.querySelectorAll('figure h2')].map(title => title.innerText)");
    serde_json::from_value(titles).unwrap()
}

/// The page has no wider parts than its window has room for.
#[track_caller]
fn fits(browser: &mut Browser) {
    for (width, scheme) in [(1280, "light"), (390, "dark")] {
        browser.looks((width, 800), scheme);
        browser.until(&format!("document.querySelector('.plot svg').width.baseVal.value < {width}"));
        let wide = browser.value("document.documentElement.scrollWidth").as_u64().unwrap();
        assert!(wide <= u64::from(width), "{wide} in {width}");
    }
}

#[test]
fn the_page_of_a_run_draws_it_and_reads_it_out() {
    let home = Home::new();
    let server = home.serve(&["echo", "http://127.0.0.1:0"], 1);
    let file = home.path("page.html");
    home.run(&["bench", &server.at[0], "--rate", "400", "-d", "1s", "--html", &file, "--slo", "rate>1"], "").good();
    let Some(mut browser) = Browser::open(&home, &format!("file://{file}")) else { return };
    browser.until("document.querySelectorAll('.plot svg').length === 5");
    assert_eq!(
        titles(&mut browser),
        ["Latency over time", "Percentiles", "Requests a second", "Bytes a second", "The generator's own lag"]
    );
    assert!(drawn(&mut browser, "path.cell[class*=heat-]") > 0);
    assert!(drawn(&mut browser, "path.stroke") >= 5);
    let text = browser.value("document.querySelector('main').innerText");
    for part in ["All 400 requests were answered", "rate>1", "Offered\n400", "p99.99", "open, by schedule"] {
        assert!(text.as_str().unwrap().contains(part), "{part}: {text}");
    }
    fits(&mut browser);

    // The colours are those of the scheme.
    let paper = "getComputedStyle(document.body).backgroundColor";
    let dark = browser.value(paper);
    browser.looks((1280, 800), "light");
    assert_ne!(browser.value(paper), dark);

    // Keys go through the chart, and what they come to is read out.
    browser.value("document.querySelector('.plot').focus()");
    let key = "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight' }))";
    browser.value(key);
    browser.until("/^0 s to .+ answered/.test(document.querySelector('figure .unseen').innerText)");
    assert_eq!(browser.value("document.querySelectorAll('figure:first-child .cursor').length"), 1);

    // Every request stands in the table, too.
    let offered = browser.value(
        "[...document.querySelectorAll('details tbody tr')].reduce((sum, row) => sum + +row.cells[1].textContent, 0)",
    );
    assert_eq!(offered, 400);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_ramp_ends_where_it_is_highest() {
    let home = Home::new();
    let server = home.serve(&["echo", "tcp://127.0.0.1:0"], 1);
    let file = home.path("page.html");
    // Of a time that no round number of columns fills.
    home.run(&["bench", &server.at[0], "--rate", "100..2000/1503ms", "--html", &file], "").good();
    let Some(mut browser) = Browser::open(&home, &format!("file://{file}")) else { return };
    browser.until("document.querySelectorAll('.plot svg').length === 5");
    // The heights of the stairs of what was offered, from the bottom of the highest one to that of the last.
    let heights = "(() => {
        const figures = [...document.querySelectorAll('figure')];
        const rates = figures.find(figure => figure.querySelector('h2').innerText === 'Requests a second');
        const line = rates.querySelector('.plot path.dashed').getAttribute('d');
        const up = [...line.matchAll(/[ML][0-9.]+ ([0-9.]+)/g)].map(([, y]) => +y);
        return [up.at(-1) - Math.min(...up), Math.max(...up) - Math.min(...up)];
    })()";
    let [missing, all]: [f64; 2] = serde_json::from_value(browser.value(heights)).unwrap();
    assert!(missing < all / 10.0, "the last stair is {missing} of {all} below the highest one");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn what_was_never_answered_is_seen() {
    let home = Home::new();
    let server = home.serve(&["discard", "tcp://127.0.0.1:0"], 1);
    let file = home.path("page.html");
    let ended = home.run(&["bench", &server.at[0], "--rate", "100", "-d", "500ms", "--html", &file], "");
    assert_ne!(ended.code, 0, "{}", ended.err);
    let Some(mut browser) = Browser::open(&home, &format!("file://{file}")) else { return };
    browser.until("document.querySelector('.plot svg')?.textContent.includes('Nothing was answered.')");
    assert!(drawn(&mut browser, "path.cell.f-gone") == 1);
    let text = browser.value("document.querySelector('.verdict').innerText");
    assert!(text.as_str().unwrap().starts_with("None of 50 requests came to anything"), "{text}");
    fits(&mut browser);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn two_reports_are_two_curves_on_one_page() {
    let home = Home::new();
    let server = home.serve(&["echo", "tcp://127.0.0.1:0"], 1);
    let reports = ["a.json", "b.json"].map(|name| {
        let report = home.run(&["bench", &server.at[0], "-c", "2", "-d", "400ms", "--json"], "");
        home.file(name, report.good())
    });
    let file = home.path("page.html");
    home.run(&["bench", "--compare", &reports[0], &reports[1], "--html", &file], "").good();
    let Some(mut browser) = Browser::open(&home, &format!("file://{file}")) else { return };
    browser.until("document.querySelectorAll('figure').length > 2");
    assert_eq!(titles(&mut browser)[..2], ["Percentiles", "Latency over time: A"]);
    assert!(drawn(&mut browser, "path.stroke.c-0") > 0 && drawn(&mut browser, "path.stroke.c-1") > 0);
    fits(&mut browser);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
