import './app.css'
import { mount, type Component } from 'svelte'
import Page from './screens/Page.svelte'

/** Each screen is fetched only where it is looked at, so that a wall loads nothing but the wall. */
const SCREENS: Record<string, () => Promise<{ default: Component }>> = {
  '/': () => import('./screens/Start.svelte'),
  '/wall': () => import('./screens/Wall.svelte'),
  '/alarms': () => import('./screens/Alarms.svelte'),
  '/query': () => import('./screens/Query.svelte'),
  '/system': () => import('./screens/System.svelte'),
}

const path = location.pathname.replace(/\/+$/, '') || '/'
const open = SCREENS[path] ?? ((): Promise<{ default: Component }> => import('./screens/Unknown.svelte'))

void open().then(({ default: screen }) =>
  mount(Page, { target: document.getElementById('app')!, props: { screen, path } }),
)
