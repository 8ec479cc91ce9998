package main

import (
	"net/url"
	"regexp"
	"strings"
)

const hidden = "xxxxx"

var (
	// betweenURLs matches a comma between two URLs of a list. A part without a scheme belongs to the URL before it.
	betweenURLs = regexp.MustCompile(`,(\s*[A-Za-z][A-Za-z0-9+.-]*://)`)
	scheme      = regexp.MustCompile(`^\s*[A-Za-z][A-Za-z0-9+.-]*://`)
	// secretName matches the names of parameters whose values are secret.
	secretName = regexp.MustCompile(`(?i)password|passwd|pwd|secret|token`)
	// secretKeyword matches such a parameter in libpq's keyword/value form.
	secretKeyword = regexp.MustCompile(`(?i)(\w*(?:password|passwd|pwd|secret|token)\w*\s*=\s*)('(?:[^'\\]|\\.)*'?|(?:[^\s\\]|\\.)*)`)
)

// redacted returns value, a URL or a comma-separated list of URLs, without passwords and tokens, for logs. The value need not
// be well-formed; whatever may be part of a password is hidden.
func redacted(value string) string {
	if !scheme.MatchString(value) {
		value = secretKeyword.ReplaceAllString(value, "${1}"+hidden)
		if i := strings.LastIndexByte(value, '@'); i >= 0 && strings.Contains(value[:i], ":") {
			value = hidden + value[i:]
		}
		return value
	}
	list := strings.Split(betweenURLs.ReplaceAllString(value, ",\x00$1"), ",\x00")
	for i, one := range list {
		list[i] = redactedURL(one)
	}
	return strings.Join(list, ",")
}

func redactedURL(one string) string {
	scheme, rest, _ := strings.Cut(one, "://")
	place, query, asked := strings.Cut(rest, "?")
	scheme = strings.TrimSpace(scheme)
	if scheme != "sqlite" {
		place = redactedPlace(place, strings.HasPrefix(scheme, "postgres"), strings.Contains(query, "@"))
	}
	if asked {
		place += "?" + redactedQuery(query)
	}
	return scheme + "://" + place
}

// redactedPlace returns user, host and path without the password. A user without a password is taken for a token, unless users
// is set. broken says that the query has an @, as it does if a password has a question mark.
func redactedPlace(place string, users, broken bool) string {
	at := strings.LastIndexByte(place, '@')
	if at < 0 {
		if user, _, ok := strings.Cut(place, ":"); ok && broken {
			return user + ":" + hidden
		}
		return place
	}
	user, _, password := strings.Cut(place[:at], ":")
	switch {
	case password:
		return user + ":" + hidden + place[at:]
	case users:
		return place
	default:
		return hidden + place[at:]
	}
}

func redactedQuery(query string) string {
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(key)
		switch {
		case err != nil || !ok || strings.Contains(key, "@"):
			pairs[i] = hidden
		case secretName.MatchString(name) || strings.Contains(value, "@"):
			pairs[i] = key + "=" + hidden
		}
	}
	return strings.Join(pairs, "&")
}
