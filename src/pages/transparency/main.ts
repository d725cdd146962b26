/** The transparency page: what a log says of fleets, and the audit of it in the visitor's own browser. */

import { element } from '../common/index.ts';

document.body.append(element('main', { id: 'main' }, element('h1', {}, 'Transparency')));
