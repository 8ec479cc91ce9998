package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPasswordsAreNotPrinted(t *testing.T) {
	for value, want := range map[string]string{
		"sqlite://traceroom.db":                                         "sqlite://traceroom.db",
		"sqlite:///home/a@b/x.db":                                       "sqlite:///home/a@b/x.db",
		"sqlite://x.db?password=hunter2":                                "sqlite://x.db?password=xxxxx",
		"postgres://ada@db:5432/chat":                                   "postgres://ada@db:5432/chat",
		"postgres://ada:hunter2@db:5432/chat":                           "postgres://ada:xxxxx@db:5432/chat",
		"postgresql://ada:hunter2@db/chat":                              "postgresql://ada:xxxxx@db/chat",
		"postgres://ada:hun,ter2@a:1,b:2/chat":                          "postgres://ada:xxxxx@a:1,b:2/chat",
		"postgres://ada:hun@ter2@db/chat":                               "postgres://ada:xxxxx@db/chat",
		"postgres://ada:123/hunter2@db/chat":                            "postgres://ada:xxxxx@db/chat",
		"postgres://ada:123#hunter2@db/chat":                            "postgres://ada:xxxxx@db/chat",
		"postgres://ada:123?hunter2@db/chat":                            "postgres://ada:xxxxx?xxxxx",
		"postgres://ada:12?hunter2=hunter2@db/c":                        "postgres://ada:xxxxx?hunter2=xxxxx",
		"postgres://ada:%zzhunter2@db/chat":                             "postgres://ada:xxxxx@db/chat",
		"postgres://db/chat?user=ada&password=hunter2&sslmode=require":  "postgres://db/chat?user=ada&password=xxxxx&sslmode=require",
		"postgres://db/chat?sslkey=k.pem&sslpassword=hunter2":           "postgres://db/chat?sslkey=k.pem&sslpassword=xxxxx",
		"postgres://db/chat?PassWord=hunter2":                           "postgres://db/chat?PassWord=xxxxx",
		"postgres://db/chat?pass%77ord=hunter2":                         "postgres://db/chat?pass%77ord=xxxxx",
		"postgres://db/chat?password=hunter2=hunter2":                   "postgres://db/chat?password=xxxxx",
		"postgres://db/chat?password=a&hunter2":                         "postgres://db/chat?password=xxxxx&xxxxx",
		"host=db user=ada password=hunter2 dbname=chat":                 "host=db user=ada password=xxxxx dbname=chat",
		`host=db password = 'hun\'ter 2 hunter2' sslpassword=hunter2`:   "host=db password = xxxxx sslpassword=xxxxx",
		`password='hunter2 and no end`:                                  "password=xxxxx",
		`host=db password=hun\ hunter2 user=ada`:                        "host=db password=xxxxx user=ada",
		"host=db password=a://hunter2 user=ada":                         "host=db password=xxxxx user=ada",
		"ada:hunter2@db/chat":                                           "xxxxx@db/chat",
		"postgres:ada:hunter2@db/chat":                                  "xxxxx@db/chat",
		"nats://one:4222,nats://two:4222":                               "nats://one:4222,nats://two:4222",
		"nats://ada:hunter2@one:4222, nats://hunter2@two:4222,three:42": "nats://ada:xxxxx@one:4222,nats://xxxxx@two:4222,three:42",
		"nats://one:4222,ada:hunter2@two:4222":                          "nats://one:xxxxx@two:4222",
	} {
		require.Equal(t, want, redacted(value), value)
	}
}
