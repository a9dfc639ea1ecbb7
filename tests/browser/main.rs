//! A real browser: headless Chromium through chromedriver.

#[path = "../http/app.rs"]
#[allow(dead_code)]
mod app;
#[path = "../http/browser.rs"]
#[allow(dead_code)]
mod browser;
mod flow;
mod look;
mod scripts;
mod site;
mod webdriver;
