//! A real browser: headless Chromium through chromedriver.

mod flow;
mod look;
mod nodes;
mod scripts;
mod site;
mod webdriver;
