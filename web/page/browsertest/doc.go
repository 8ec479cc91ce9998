// Package browsertest drives pages in a real Chromium, for tests: Start a browser, open tabs in it, do what a person does
// with keyboard and mouse, wait until the page shows what it should.
//
// A Tab fails its test for everything that the page did wrong on the side: an error on the console, an exception, a
// request to another origin. The package knows no particular page; what only one page's tests need may not enter it, nor
// may anything that is not for tests.
package browsertest
