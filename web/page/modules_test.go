package page

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/traceroom/traceroom/web/page/browsertest"
)

// TestModules tests, in the browser, what of the modules' work does not show on the page soon enough or at all.
func TestModules(t *testing.T) {
	m := newMock(t, Config{})
	tab := visit(t, m, browsertest.Shared(t), "general", "alice")
	for name, expression := range map[string]string{
		"what is no traceparent has no trace": `import('/page/trace.js').then(({ traceIdOf }) =>
			[undefined, null, 7, '', 'x', '00-' + '0'.repeat(32) + '-' + 'b'.repeat(16) + '-01', '00-' + 'A'.repeat(32) + '-' + 'b'.repeat(16) + '-01',
				'00-' + 'a'.repeat(31) + '-' + 'b'.repeat(16) + '-01'].every((t) => traceIdOf(t) === ''))`,
		"a later version's traceparent is read": `import('/page/trace.js').then(({ traceIdOf }) =>
			traceIdOf('cc-' + 'a'.repeat(32) + '-' + 'b'.repeat(16) + '-01-more') === 'a'.repeat(32))`,
		"only http leads to Jaeger": `import('/page/trace.js').then(({ jaegerURL }) =>
			jaegerURL('javascript:alert(1)', 'a') === '' && jaegerURL('', 'a') === '' && jaegerURL('http://j/', '') === ''
			&& jaegerURL('http://j/ui/', 'abc') === 'http://j/ui/trace/abc')`,
		"attempts come later and later, but not too late, and not all at once": `import('/page/connection.js').then(({ delayBefore }) =>
			delayBefore(0, 0) === 250 && delayBefore(0, 1) === 500 && delayBefore(3, 1) === 4000
			&& delayBefore(1000, 1) === 15000 && delayBefore(1000, 0) === 7500
			&& new Set(Array.from({ length: 100 }, () => delayBefore(5))).size > 50)`,
		"only two codes are final": `import('/page/connection.js').then(({ comesBack }) =>
			!comesBack(4001) && !comesBack(4003) && [0, 1000, 1001, 1006, 1009, 1011, 4000, 4002, 4008].every(comesBack))`,
		"a message is new once": `import('/page/sequence.js').then(({ Sequence }) => {
			const s = new Sequence();
			const taken = [1, 2, 2, 1, 5].map((seq) => s.take({ seq }));
			return taken.join() === 'true,true,false,false,true' && s.last === 5;
		})`,
		"movements add up": `import('/page/messages.js').then(({ presenceText }) =>
			presenceText(new Map([['a', 'joined'], ['b', 'left'], ['c', 'joined'], ['d', 'visited']])) === 'a and c joined · b left · d came and went')`,
		"an echo of an earlier attempt settles too": `import('/page/outbox.js').then(({ Outbox }) => {
			const box = new Outbox();
			const sent = [];
			const item = box.add('x');
			const flush = () => box.flush((f) => sent.push(f), 'alice');
			flush();
			box.doubt();
			flush();
			box.giveUp(item);
			box.retry(item);
			flush();
			return sent.length === 3 && sent[0].ref === sent[1].ref && sent[1].ref !== sent[2].ref
				&& box.settle({ ref: sent[0].ref }) === item && box.items.length === 0;
		})`,
		"what the server may have forgotten is not sent again": `import('/page/outbox.js').then(({ Outbox, sendAgainFor }) => {
			const box = new Outbox();
			const item = box.add('x');
			let sent = 0;
			box.flush(() => ++sent, 'alice');
			item.since.clock -= sendAgainFor;
			box.doubt();
			box.flush(() => ++sent, 'alice');
			return sent === 1 && item.state === 'unconfirmed';
		})`,
		"the outbox has a bound": `import('/page/outbox.js').then(({ Outbox, capacity }) => {
			const box = new Outbox();
			while (!box.full) box.add('x');
			return box.items.length === capacity;
		})`,
		"ids": `import('/page/people.js').then(({ idProblem, idFrom, friendlyName }) =>
			['a', 'A-b_c.9', 'x'.repeat(64)].every((id) => idProblem(id) === '')
			&& ['', '.', '..', 'a b', 'ä', 'x'.repeat(65), 'a/b'].every((id) => idProblem(id) !== '')
			&& idFrom('  Crème brûlée!  ') === 'creme-brulee' && idFrom('日本') === ''
			&& Array.from({ length: 200 }, friendlyName).every((n) => idProblem(n) === ''))`,
		"names in a row": `import('/page/people.js').then(({ listNames, count }) =>
			[listNames([]), listNames(['a']), listNames(['a', 'b']), listNames(['a', 'b', 'c']), listNames(['a', 'b', 'c', 'd'])].join('|')
				=== '|a|a and b|a, b and c|a, b and 2 others' && count(1, 'x', 'xs') === '1 x' && count(1234, 'x', 'xs') === '1,234 xs')`,
		"every colour is used": `import('/page/people.js').then(({ hueOf, hues }) => {
			const n = new Array(hues).fill(0);
			for (let i = 0; i < 6000; i++) n[hueOf('client-' + i)]++;
			return n.every((c) => c > 350 && c < 650);
		})`,
		"words for errors": `import('/page/session.js').then(({ errorText }) =>
			errorText({ code: 'empty_text', detail: 'x' }) === 'An empty message cannot be sent.'
			&& errorText({ code: 'other', detail: 'the frame is no JSON' }) === 'The frame is no JSON.' && errorText({}) === 'The server refused this.')`,
	} {
		require.True(t, browsertest.Eval[bool](tab, expression), name)
	}
}
